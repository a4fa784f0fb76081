//! `lock`: the hashed lists of tools, from their sources.

use anyhow::Result;

use crate::cli::Lock;
use crate::local::tools::Tools;
use crate::outcome::Outcome;
use crate::ui::step;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, options: &Lock) -> Result<Outcome> {
    let tools = Tools::new(workspace);
    let lock = || tools.lock(options.upgrade);
    let (lists, _) = step("lock the tools", lock, |lists| format!("{} lists", lists.len()))?;
    for list in lists {
        outln!("{}", list.strip_prefix(workspace.root()).unwrap_or(&list).display());
    }
    Ok(Outcome::Done)
}

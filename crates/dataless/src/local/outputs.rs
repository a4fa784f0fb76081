//! The answer of CloudFormation about a stack.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The answer of `DescribeStacks`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    stacks: Vec<Stack>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stack {
    /// The list may be missing if there are none.
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    output_value: String,
}

/// The outputs of the described stack.
pub fn outputs_of(answer: Described) -> Result<BTreeMap<String, String>> {
    let stack = answer.stacks.into_iter().next().context("the stack was not deployed")?;
    Ok(stack.outputs.into_iter().map(|output| (output.output_key, output.output_value)).collect())
}

//! How fast events are sent: `cargo bench -p loadgen --bench http`.
//!
//! A null server in a separate process reports every event as stored. loadgen generates new events for every request.
//! `wrk` and `oha` (if installed) send one body repeatedly. The tools run alternately on the same cores, with the same
//! bodies and the same number of connections. Each line is the median of the rounds.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SERVER: &str = "LOADGEN_BENCH_NULL_SERVER";
const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let result = if std::env::var_os(SERVER).is_some() { serve() } else { compare() };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

// --- The null server ---------------------------------------------------------------------------------------------

/// Prints its address and serves until its standard input ends.
fn serve() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    println!("{}", listener.local_addr()?);
    let answers: &'static [Vec<u8>] = (0..=500).map(answer).collect::<Vec<_>>().leak();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(connection(stream, answers).await) });
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn answer(events: usize) -> Vec<u8> {
    let records = vec![r#"{"failed":false}"#; events].join(",");
    let body = format!(r#"{{"failed_count":0,"records":[{records}]}}"#);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    (head + &body).into_bytes()
}

async fn connection(mut stream: TcpStream, answers: &[Vec<u8>]) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 17);
    loop {
        let Some((head, length)) = request(&buffer)? else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        // One brace for each event and one for the batch.
        let braces = buffer[head..head + length].iter().filter(|&&byte| byte == b'{').count();
        stream.write_all(&answers[braces - 1]).await?;
        buffer.drain(..head + length);
    }
}

/// The lengths of a request's head and body, once its head is complete.
fn request(buffer: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buffer)? else { return Ok(None) };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("a request without content-length")?.value;
    Ok(Some((head, std::str::from_utf8(length)?.parse()?)))
}

// --- The comparison ----------------------------------------------------------------------------------------------

struct Measure {
    requests_per_second: f64,
    /// User and system time of the tool per request, in seconds.
    cpu_per_request: f64,
}

type Tool = fn(&str, usize) -> Result<Option<Measure>, Failure>;

fn compare() -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        return Err("the benchmark needs the release profile: use `cargo bench` without --profile".into());
    }
    println!("{ROUNDS} rounds of about {SECONDS} s, {CONNECTIONS} connections, {} cores", cores());
    println!(
        "{:<6}{:<10}{:>14}{:>14}{:>16}{:>12}",
        "batch", "tool", "requests/s", "events/s", "CPU µs/event", "of wrk"
    );
    for batch in [500, 1] {
        let tools: [(&str, Tool); 3] = [("loadgen", loadgen), ("wrk", wrk), ("oha", oha)];
        let mut measures: Vec<Vec<Measure>> = tools.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for ((_, tool), measures) in tools.iter().zip(&mut measures) {
                let (server, url) = null_server()?;
                measures.extend(tool(&url, batch)?);
                end(server)?;
            }
        }
        let medians: Vec<Option<(f64, f64)>> = measures
            .iter()
            .map(|measures| {
                let of = |value: fn(&Measure) -> f64| median(measures.iter().map(value).collect());
                Some((of(|m| m.requests_per_second)?, of(|m| m.cpu_per_request)?))
            })
            .collect();
        for ((name, _), measure) in tools.iter().zip(&medians) {
            let Some((requests, cpu)) = measure else {
                println!("{batch:<6}{name:<10}{:>14}", "not installed");
                continue;
            };
            let events = requests * batch as f64;
            let cpu = cpu * 1e6 / batch as f64;
            let share = medians[1].map_or_else(String::new, |(wrk, _)| format!("{:.2}", requests / wrk));
            println!("{batch:<6}{name:<10}{requests:>14.0}{events:>14.0}{cpu:>16.2}{share:>12}");
        }
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn null_server() -> Result<(Child, String), Failure> {
    let mut server =
        Command::new(std::env::current_exe()?).env(SERVER, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;
    Ok((server, format!("http://{address}")))
}

fn end(mut server: Child) -> Result<(), Failure> {
    drop(server.stdin.take());
    server.wait()?;
    Ok(())
}

/// User and system time of all children that have exited, in seconds (Linux).
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    // Fields 16 and 17 of proc_pid_stat(5). Field 3 is the first one here. There are 100 ticks per second.
    (ticks(13) + ticks(14)) / 100.0
}

/// The output of a command and its CPU time. `None` if the command is not installed.
fn output(command: &mut Command) -> Result<Option<(String, f64)>, Failure> {
    let before = children_cpu();
    let output = match command.stderr(Stdio::inherit()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(Some((String::from_utf8(output.stdout)?, children_cpu() - before)))
}

fn config() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/config.yaml").to_owned()
}

fn loadgen(url: &str, batch: usize) -> Result<Option<Measure>, Failure> {
    let impressions = if batch == 1 { 100_000 } else { 2_500_000 } * SECONDS;
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .args(["run", "--json", "-c", &config(), "--base-url", url, "--day", "yesterday", "--clickthrough", "0"])
        .args(["--impressions", &impressions.to_string(), "--batch-size", &batch.to_string()])
        .args(["--connections", &CONNECTIONS.to_string(), "--seed", "1"]);
    let Some((report, cpu)) = output(&mut command)? else { return Ok(None) };
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let number = |value: &serde_json::Value| value.as_f64().ok_or("the report lacks a number");
    let requests = number(&report["requests"]["count"])?;
    Ok(Some(Measure { requests_per_second: requests / number(&report["seconds"])?, cpu_per_request: cpu / requests }))
}

/// A body like those that loadgen sends.
fn body(batch: usize) -> String {
    let event = r#"{"impression_id":"0b0e2d3c-1a2b-4c3d-8e4f-5a6b7c8d9e0f","ad_id":"9f8e7d6c-5b4a-4392-8180-7f6e5d4c3b2a","occurred_at":"2026-03-01 12:34:56.789"}"#;
    format!(r#"{{"impressions":[{}]}}"#, vec![event; batch].join(","))
}

fn temporary(name: &str, text: &str) -> Result<tempfile::NamedTempFile, Failure> {
    let mut file = tempfile::Builder::new().suffix(name).tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn wrk(url: &str, batch: usize) -> Result<Option<Measure>, Failure> {
    let script = format!(
        "wrk.method = 'POST'\nwrk.body = '{}'\nwrk.headers['Content-Type'] = 'application/json'\n\
         done = function(summary) print('result', summary.requests, summary.duration) end\n",
        body(batch)
    );
    let script = temporary(".lua", &script)?;
    let mut command = Command::new("wrk");
    command
        .args(["-t", &cores().to_string(), "-c", &CONNECTIONS.to_string(), "-d", &format!("{SECONDS}s"), "-s"])
        .arg(script.path())
        .arg(format!("{url}/impressions"));
    let Some((text, cpu)) = output(&mut command)? else { return Ok(None) };
    let line = text.lines().find(|line| line.starts_with("result")).ok_or("wrk printed no result")?;
    let numbers: Vec<f64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    let [requests, microseconds] = numbers[..] else { return Err("wrk printed an odd result".into()) };
    Ok(Some(Measure { requests_per_second: requests / (microseconds / 1e6), cpu_per_request: cpu / requests }))
}

fn oha(url: &str, batch: usize) -> Result<Option<Measure>, Failure> {
    let body = temporary(".json", &body(batch))?;
    let mut command = Command::new("oha");
    command
        .args(["--no-tui", "--output-format", "json", "-m", "POST", "-T", "application/json"])
        .args(["-c", &CONNECTIONS.to_string(), "-z", &format!("{SECONDS}s"), "-D"])
        .arg(body.path())
        .arg(format!("{url}/impressions"));
    let Some((text, cpu)) = output(&mut command)? else { return Ok(None) };
    let report: serde_json::Value = serde_json::from_str(&text)?;
    let rate = report["summary"]["requestsPerSec"].as_f64().ok_or("oha printed no rate")?;
    let total = report["summary"]["total"].as_f64().ok_or("oha printed no time")?;
    Ok(Some(Measure { requests_per_second: rate, cpu_per_request: cpu / (rate * total) }))
}

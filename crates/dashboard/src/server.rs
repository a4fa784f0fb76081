//! The page and its API, on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chrono::Utc;
use serde::{Deserialize, Serialize};

use crate::connections::{self, Limits};
use crate::render;
use crate::source::{CloudWatch, Source};

/// The page's files: path, kind, content.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("../web/index.html")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../web/app.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../web/style.css")),
    ("/uPlot.iife.min.js", "text/javascript; charset=utf-8", include_str!("../web/uPlot.iife.min.js")),
    ("/uPlot.min.css", "text/css; charset=utf-8", include_str!("../web/uPlot.min.css")),
];

/// Nothing is loaded from elsewhere, and nothing elsewhere shows the page in a frame.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How often it checks whether it must end.
const TICK: Duration = Duration::from_millis(100);

/// The most calls of CloudWatch at a time.
const MAX_CALLS: usize = 8;

struct AppState {
    source: Box<dyn Source>,
    dashboards: Vec<String>,
}

/// Serves the dashboards with these names, until `is_stopped` says that it must end.
///
/// # Errors
/// When the listener can't be used.
pub fn serve(
    listener: TcpListener,
    cloudwatch: CloudWatch,
    dashboards: Vec<String>,
    is_stopped: fn() -> bool,
) -> Result<()> {
    listener.set_nonblocking(true)?;
    let app = app(AppState { source: Box::new(cloudwatch), dashboards });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(MAX_CALLS).build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            served = connections::serve(listener, app, Limits::DEFAULT) => served.map(drop).context("the server ended"),
            // Requests are answered in milliseconds: none is waited for.
            () = stopped(is_stopped) => Ok(()),
        }
    })
}

async fn stopped(is_stopped: fn() -> bool) {
    while !is_stopped() {
        tokio::time::sleep(TICK).await;
    }
}

fn app(state: AppState) -> Router {
    let mut app = Router::new().route("/api/dashboards", get(list)).route("/api/dashboards/{name}", get(dashboard));
    for (path, kind, content) in FILES {
        app = app.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], content) }));
    }
    app.layer(middleware::from_fn(guard)).with_state(Arc::new(state))
}

/// Answers only requests to this machine's own names, so that no other site reaches it by DNS rebinding.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["127.0.0.1", "localhost"].contains(&name) {
        return (StatusCode::FORBIDDEN, "This page is for this machine only.").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Serialize)]
struct Listed {
    name: String,
    title: String,
}

async fn list(State(state): State<Arc<AppState>>) -> Response {
    answer(move || {
        let titles = render::titles(&*state.source, &state.dashboards)?;
        let listed = state.dashboards.iter().map(|name| Listed { name: name.clone(), title: titles[name].clone() });
        Ok(listed.collect::<Vec<_>>())
    })
    .await
}

#[derive(Deserialize)]
struct Range {
    start: Option<String>,
}

async fn dashboard(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
    Query(Range { start }): Query<Range>,
) -> Response {
    if !state.dashboards.contains(&name) {
        return error_response(StatusCode::NOT_FOUND, &format!("there is no dashboard {name}"));
    }
    answer(move || render::render(&*state.source, &name, start.as_deref(), Utc::now())).await
}

/// Does the work on another thread: the client of CloudWatch blocks.
async fn answer<T: Serialize + Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => error_response(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
        Err(_) => error_response(StatusCode::INTERNAL_SERVER_ERROR, "failed to make the answer"),
    }
}

fn error_response(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({"message": message}))).into_response()
}

/// Listens on the loopback interface: on this port, or else on 8088 or any free one.
///
/// # Errors
/// When the port is taken.
pub fn listen(port: Option<u16>) -> Result<TcpListener> {
    /// Not 8080, which is often taken.
    const DEFAULT_PORT: u16 = 8088;
    if let Some(port) = port {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} is not available: choose another with --port, or omit it"));
    }
    let default = TcpListener::bind((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
    default.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("no port is free")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;

    static STOPPED: AtomicBool = AtomicBool::new(false);

    fn get(address: SocketAddr, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn dashboards_are_served_to_this_machine_until_the_server_is_stopped() {
        let cloudwatch = CloudWatch::new(|operation, request| match (operation, request["DashboardName"].as_str()) {
            ("GetDashboard", Some("ads")) => {
                let text = json!({"type": "text", "properties": {"markdown": "# Ads today"}});
                Ok(json!({"DashboardBody": json!({"widgets": [text]}).to_string()}))
            }
            other => anyhow::bail!("{other:?} was not expected"),
        });
        let listener = listen(Some(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = || STOPPED.load(Ordering::Relaxed);
        let server = thread::spawn(move || serve(listener, cloudwatch, vec!["ads".to_owned()], stopped));
        let list = get(address, "localhost", "/api/dashboards");
        assert!(
            list.starts_with("HTTP/1.1 200") && list.contains("content-security-policy: default-src 'self'"),
            "{list}"
        );
        assert!(list.ends_with(r#"[{"name":"ads","title":"Ads today"}]"#), "{list}");
        let dashboard = get(address, "127.0.0.1:8088", "/api/dashboards/ads?start=-PT1H");
        assert!(dashboard.contains(r#""kind":"text","html":"<h1>Ads today</h1>"#), "{dashboard}");
        assert!(get(address, "localhost", "/api/dashboards/other").starts_with("HTTP/1.1 404"));
        assert!(get(address, "localhost", "/").contains("<title>Dataless</title>"));
        assert!(get(address, "evil.example", "/api/dashboards").starts_with("HTTP/1.1 403"));
        STOPPED.store(true, Ordering::Relaxed);
        server.join().unwrap().unwrap();
    }

    /// The chart library is the unchanged file of the npm package uplot 1.6.32.
    #[test]
    fn the_chart_library_is_as_published() {
        for (path, expected) in [
            ("/uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
            ("/uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
        ] {
            let (_, _, content) = FILES.iter().find(|(file, ..)| *file == path).unwrap();
            let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, expected, "{path}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = listen(Some(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let message = listen(Some(port)).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port} is not available")), "{message}");
    }
}

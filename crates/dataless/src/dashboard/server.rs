//! The page and what it asks for, on the loopback interface.

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

use super::connections::{self, Limits};
use super::source::Source;
use super::view;
use crate::process::check_interrupted;

/// The page's files: path, kind, content.
const FILES: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../../web/app.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../../web/style.css")),
    ("/uPlot.iife.min.js", "text/javascript; charset=utf-8", include_str!("../../web/uPlot.iife.min.js")),
    ("/uPlot.min.css", "text/css; charset=utf-8", include_str!("../../web/uPlot.min.css")),
];

/// Nothing is loaded from elsewhere, and nothing elsewhere shows the page in a frame.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How often it looks whether Ctrl-C was pressed.
const TICK: Duration = Duration::from_millis(100);

/// How many questions the emulator is asked at once.
const MAX_QUESTIONS: usize = 8;

/// What answers are made of.
struct Site {
    source: Box<dyn Source>,
    dashboards: Vec<String>,
}

/// Serves the dashboards until Ctrl-C.
pub fn serve(listener: TcpListener, source: Box<dyn Source>, dashboards: Vec<String>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let app = app(Site { source, dashboards });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(MAX_QUESTIONS).build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            served = connections::serve(listener, app, Limits::USUAL) => served.map(drop).context("the server ended"),
            // Requests are answered in milliseconds: none is waited for.
            () = interrupted() => Ok(()),
        }
    })
}

async fn interrupted() {
    while check_interrupted().is_ok() {
        tokio::time::sleep(TICK).await;
    }
}

fn app(site: Site) -> Router {
    let mut app = Router::new().route("/api/dashboards", get(list)).route("/api/dashboards/{name}", get(dashboard));
    for (path, kind, content) in FILES {
        app = app.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], content) }));
    }
    app.layer(middleware::from_fn(guard)).with_state(Arc::new(site))
}

/// Answers only to whom asks for this machine by name, so that no page elsewhere can reach it under a name of its own.
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

async fn list(State(site): State<Arc<Site>>) -> Response {
    answer(move || {
        let titles = view::titles(&*site.source, &site.dashboards)?;
        let listed = site.dashboards.iter().map(|name| Listed { name: name.clone(), title: titles[name].clone() });
        Ok(listed.collect::<Vec<_>>())
    })
    .await
}

#[derive(Deserialize)]
struct Range {
    start: Option<String>,
}

async fn dashboard(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    Query(Range { start }): Query<Range>,
) -> Response {
    if !site.dashboards.contains(&name) {
        return problem(StatusCode::NOT_FOUND, &format!("there is no dashboard {name}"));
    }
    answer(move || view::draw(&*site.source, &name, start.as_deref(), Utc::now())).await
}

/// Asks the emulator on another thread: its client waits.
async fn answer<T: Serialize + Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => problem(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"),
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({"message": message}))).into_response()
}

/// The port that was asked for; or the usual one, or any that is free.
pub fn listen(asked_for: Option<u16>) -> Result<TcpListener> {
    /// As 8080 is often taken.
    const USUAL_PORT: u16 = 8088;
    if let Some(port) = asked_for {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} cannot be had: name another with --port, or leave it out"));
    }
    let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT));
    usual.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("no port is free")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// The chart library is the file of the npm package uplot 1.6.32, not one that somebody changed.
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
        assert!(message.contains(&format!("port {port} cannot be had")), "{message}");
    }
}

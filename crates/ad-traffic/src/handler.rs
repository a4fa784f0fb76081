//! Answers a request for the traffic of an ad in a range of days.

use chrono::{Days, NaiveDate};
use lambda_http::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use lambda_http::http::{HeaderMap, HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use lambda_support::http::{error, json, method_not_allowed, preflight, time_left, unavailable};
use lambda_support::service::ServiceError;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::context::{Caching, Context};
use crate::query::Query;
use crate::table::{DayTraffic, TrafficTable};

const METHODS: &str = "GET, OPTIONS";
const REQUEST_HEADERS: &str = "x-api-key";
const RETRY_AFTER_SECONDS: u16 = 1;

/// For settled days, which the nightly batch no longer changes.
const SETTLED_MAX_AGE_SECONDS: u32 = 86_400;

/// For past days that the nightly batch may still correct.
const RECENT_MAX_AGE_SECONDS: u32 = 300;

#[derive(Serialize)]
struct Answer {
    /// The range of the answer, also if the request did not name it.
    start: String,
    end: String,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    days: Vec<DayAnswer>,
}

#[derive(Serialize)]
struct DayAnswer {
    day: String,
    impressions: u64,
    clicks: u64,
    clickthrough_rate: f64,
}

impl From<&DayTraffic> for DayAnswer {
    fn from(traffic: &DayTraffic) -> Self {
        let &DayTraffic { day, impressions, clicks } = traffic;
        Self { day: day.to_string(), impressions, clicks, clickthrough_rate: rate(clicks, impressions) }
    }
}

/// Rounded to four decimals. Clients that need more can divide the counts.
fn rate(clicks: u64, impressions: u64) -> f64 {
    const DECIMALS: f64 = 10_000.0;
    if impressions == 0 {
        return 0.0;
    }
    // Counts are far below 2^53, so a double holds them exactly.
    ((clicks as f64 / impressions as f64).min(1.0) * DECIMALS).round() / DECIMALS
}

/// Answers one request.
pub async fn handle<T: TrafficTable>(request: Request, context: &Context<T>) -> Response<Body> {
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(METHODS, REQUEST_HEADERS),
        Method::GET => traffic(&request, context).await,
        _ => method_not_allowed(METHODS),
    };
    context.allowed_origins.apply(request.headers(), &mut response);
    response
}

async fn traffic<T: TrafficTable>(request: &Request, context: &Context<T>) -> Response<Body> {
    let today = (context.clock)().date_naive();
    let query = match Query::parse(request, today, &context.page_key) {
        Ok(query) => query,
        Err(bad) => return error(StatusCode::BAD_REQUEST, bad.code, &bad.message),
    };
    // One day more than the limit shows whether there is a next page.
    let found = context.table.days(query.ad_id, query.from, *query.range.end(), query.limit + 1);
    let days = match timeout(time_left(request, (context.clock)().into()), found)
        .await
        .unwrap_or_else(|_| Err(ServiceError::timeout()))
    {
        Ok(days) => days,
        Err(failed) if failed.retryable => {
            tracing::warn!(code = failed.code, message = failed.message, "the table did not answer");
            return unavailable("the traffic cannot be read right now: try again", RETRY_AFTER_SECONDS);
        }
        Err(failed) => {
            tracing::error!(code = failed.code, message = failed.message, "the table cannot be read");
            return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the traffic cannot be read");
        }
    };
    let next = days.get(query.limit).map(|next| context.page_key.seal(next.day, query.ad_id, &query.range));
    let days: Vec<DayAnswer> = days.iter().take(query.limit).map(DayAnswer::from).collect();
    let (start, end) = query.range.into_inner();
    let answer = Answer { start: start.to_string(), end: end.to_string(), count: days.len(), next, days };
    let answer = serde_json::to_string(&answer);
    match answer {
        Ok(body) => cached(body, request.headers(), context.caching, end, today),
        Err(failed) => {
            tracing::error!(%failed, "the answer cannot be written");
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the answer cannot be written")
        }
    }
}

/// 200 with a strong validator and the time for which the answer may be cached, or 304 when the client has it already.
fn cached(body: String, request: &HeaderMap, caching: Caching, end: NaiveDate, today: NaiveDate) -> Response<Body> {
    let digest = Sha256::digest(body.as_bytes());
    let etag: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    let settled_from = today.checked_sub_days(Days::new(caching.lookback_days)).unwrap_or(today);
    let visibility = caching.visibility;
    let cache_control = if end < settled_from {
        format!("{visibility}, max-age={SETTLED_MAX_AGE_SECONDS}")
    } else if end < today {
        format!("{visibility}, max-age={RECENT_MAX_AGE_SECONDS}")
    } else {
        format!("{visibility}, no-cache")
    };
    let mut response = if has(request, &etag) {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(StatusCode::OK, body)
    };
    for (name, value) in [(ETAG, etag), (CACHE_CONTROL, cache_control)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether `If-None-Match` names this answer. <https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match>
fn has(request: &HeaderMap, etag: &str) -> bool {
    let lists = request.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::{RequestExt, http};
    use lambda_support::http::AllowedOrigins;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::page::PageKey;

    const AD: Uuid = Uuid::from_u128(1);

    /// An in-memory table that holds the days of one ad, or returns an error.
    struct Memory(Result<Vec<DayTraffic>, ServiceError>);

    impl TrafficTable for Memory {
        async fn days(
            &self,
            ad_id: Uuid,
            start: NaiveDate,
            end: NaiveDate,
            limit: usize,
        ) -> Result<Vec<DayTraffic>, ServiceError> {
            let days = self.0.clone()?.into_iter();
            Ok(days.filter(|found| ad_id == AD && (start..=end).contains(&found.day)).take(limit).collect())
        }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn november(count: u64) -> Memory {
        let days = (0..count).map(|number| DayTraffic {
            day: day("2026-11-01") + Days::new(number),
            impressions: 100 * number,
            clicks: 25 * number,
        });
        Memory(Ok(days.collect()))
    }

    fn context(table: Memory) -> Context<Memory> {
        Context {
            table,
            page_key: PageKey::new(&"k".repeat(32)).unwrap(),
            caching: Caching { visibility: "public", lookback_days: 3 },
            allowed_origins: AllowedOrigins::Any,
            clock: || "2026-11-20T12:00:00Z".parse().unwrap(),
        }
    }

    fn get(ad_id: Uuid, query: &[(&str, &str)]) -> Request {
        let query: HashMap<_, _> =
            query.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        http::Request::new(Body::Empty)
            .with_path_parameters(HashMap::from([("ad-id".to_owned(), ad_id.to_string())]))
            .with_query_string_parameters(query)
    }

    async fn answered(request: Request, table: Memory) -> (u16, Value, HeaderMap) {
        let response = handle(request, &context(table)).await;
        let body = response.body().as_ref();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() };
        (response.status().as_u16(), body, response.headers().clone())
    }

    #[tokio::test]
    async fn without_a_range_the_answer_is_for_yesterday() {
        let (status, answer, _) = answered(get(AD, &[]), november(30)).await;
        assert_eq!(status, 200);
        let days = json!([{"day": "2026-11-19", "impressions": 1800, "clicks": 450, "clickthrough_rate": 0.25}]);
        assert_eq!(answer, json!({"start": "2026-11-19", "end": "2026-11-19", "count": 1, "days": days}));
    }

    #[tokio::test]
    async fn an_ad_without_data_has_no_days_and_zero_impressions_give_rate_zero() {
        let (status, answer, _) = answered(get(Uuid::from_u128(2), &[]), november(30)).await;
        let nothing = json!({"start": "2026-11-19", "end": "2026-11-19", "count": 0, "days": []});
        assert_eq!((status, answer), (200, nothing));
        let first = [("start", "2026-11-01"), ("end", "2026-11-01")];
        let (_, answer, _) = answered(get(AD, &first), november(30)).await;
        assert_eq!(answer["days"][0]["clickthrough_rate"], json!(0.0));
    }

    #[tokio::test]
    async fn every_page_contains_the_range() {
        for (query, range) in [
            (&[("start", "2026-11-10")][..], ["2026-11-10", "2026-11-19"]),
            (&[("end", "2026-11-10")], ["2026-11-10", "2026-11-10"]),
            (&[("start", "2026-11-20")], ["2026-11-20", "2026-11-20"]),
            (&[("start", "2026-11-01"), ("end", "2026-11-10"), ("limit", "4")], ["2026-11-01", "2026-11-10"]),
        ] {
            let (_, answer, _) = answered(get(AD, query), november(30)).await;
            assert_eq!([&answer["start"], &answer["end"]], range, "{query:?}");
            let Some(page) = answer["next"].as_str() else { continue };
            let (_, second, _) = answered(get(AD, &[query, &[("page", page)]].concat()), november(30)).await;
            assert_eq!(
                [&second["start"], &second["end"], &second["days"][0]["day"]],
                [range[0], range[1], "2026-11-05"]
            );
        }
    }

    #[test]
    fn rates_have_four_decimals() {
        assert_eq!(
            [rate(1, 3), rate(2, 3), rate(5_118, 20_000), rate(3, 0), rate(3, 2)],
            [0.3333, 0.6667, 0.2559, 0.0, 1.0]
        );
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gap_or_overlap() {
        let mut seen = Vec::new();
        let mut page = None::<String>;
        loop {
            let mut query = vec![("start", "2026-11-01"), ("end", "2026-11-10"), ("limit", "4")];
            query.extend(page.as_deref().map(|page| ("page", page)));
            let (status, answer, _) = answered(get(AD, &query), november(10)).await;
            assert_eq!(status, 200);
            let days = answer["days"].as_array().unwrap().iter();
            seen.push(days.map(|found| found["day"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
            page = answer["next"].as_str().map(str::to_owned);
            if page.is_none() {
                break;
            }
        }
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let expected: Vec<String> = (1..=10).map(|number| format!("2026-11-{number:02}")).collect();
        assert_eq!(seen.concat(), expected);
    }

    #[tokio::test]
    async fn a_full_last_page_has_no_next_page() {
        let query = [("start", "2026-11-01"), ("end", "2026-11-10"), ("limit", "10")];
        let (_, answer, _) = answered(get(AD, &query), november(10)).await;
        assert_eq!((answer["count"].clone(), answer.get("next")), (json!(10), None));
    }

    #[tokio::test]
    async fn the_older_the_range_the_longer_it_is_cached() {
        for (end, expected) in [
            ("2026-11-16", "public, max-age=86400"),
            ("2026-11-17", "public, max-age=300"),
            ("2026-11-19", "public, max-age=300"),
            ("2026-11-20", "public, no-cache"),
        ] {
            let (_, _, headers) = answered(get(AD, &[("end", end)]), november(30)).await;
            assert_eq!(headers["cache-control"], expected, "{end}");
        }
    }

    #[tokio::test]
    async fn an_unchanged_answer_is_not_sent_again() {
        let (_, _, headers) = answered(get(AD, &[]), november(30)).await;
        let etag = headers["etag"].clone();
        let mut request = get(AD, &[]);
        request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        let (status, body, headers) = answered(request, november(30)).await;
        assert_eq!((status, body, &headers["etag"]), (304, Value::Null, &etag));
        let mut request = get(AD, &[]);
        request.headers_mut().insert(IF_NONE_MATCH, etag);
        let changed = Memory(Ok(vec![DayTraffic { day: day("2026-11-19"), impressions: 1, clicks: 1 }]));
        assert_eq!(answered(request, changed).await.0, 200);
    }

    #[tokio::test]
    async fn errors_have_a_code_and_a_reason() {
        let (status, answer, headers) = answered(get(AD, &[("limit", "0")]), november(1)).await;
        assert_eq!((status, &answer["error_code"]), (400, &json!("InvalidLimit")));
        assert!(answer["error_message"].as_str().unwrap().contains("from 1 to 100"));
        assert_eq!(headers["access-control-allow-origin"], "*");
        let failing = |retryable| Memory(Err(ServiceError { code: "C".into(), message: "M".into(), retryable }));
        let (status, answer, headers) = answered(get(AD, &[]), failing(true)).await;
        assert_eq!((status, &answer["error_code"]), (503, &json!("ServiceUnavailable")));
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(answered(get(AD, &[]), failing(false)).await.0, 500);
        let mut post = get(AD, &[]);
        *post.method_mut() = Method::POST;
        assert_eq!(answered(post, november(1)).await.0, 405);
    }

    #[tokio::test]
    async fn a_preflight_names_the_methods_and_the_header_of_the_key() {
        let mut options = get(AD, &[]);
        *options.method_mut() = Method::OPTIONS;
        let (status, _, headers) = answered(options, november(1)).await;
        assert_eq!(status, 204);
        assert_eq!(headers["access-control-allow-methods"], "GET, OPTIONS");
        assert_eq!(headers["access-control-allow-headers"], "x-api-key");
    }
}

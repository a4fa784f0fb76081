//! The parameters of a request.

use std::ops::RangeInclusive;

use chrono::{Days, NaiveDate};
use lambda_http::{Request, RequestExt};
use uuid::Uuid;

use crate::error::BadRequest;
use crate::page::PageKey;

/// The most days of a range: a leap year.
pub const MAX_DAYS: u64 = 366;

/// The most days of a page.
pub const MAX_LIMIT: usize = 100;

/// The days of a page if the request has no `limit`.
pub const DEFAULT_LIMIT: usize = MAX_LIMIT;

const PARAMETERS: [&str; 4] = ["start", "end", "limit", "page"];

/// The parameters of a valid request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) ad_id: Uuid,
    /// The whole range, over all pages.
    pub(crate) range: RangeInclusive<NaiveDate>,
    /// The first day of this page.
    pub(crate) from: NaiveDate,
    pub(crate) limit: usize,
}

impl Query {
    pub(crate) fn parse(request: &Request, today: NaiveDate, page_key: &PageKey) -> Result<Self, BadRequest> {
        let parameters = request.query_string_parameters_ref();
        for (name, _) in parameters.iter().flat_map(|parameters| parameters.iter()) {
            if !PARAMETERS.contains(&name) {
                let message = format!("`{}` is not a parameter: use {}", cut(name), PARAMETERS.join(", "));
                return Err(BadRequest::new("UnknownParameter", message));
            }
        }
        let parameter = |name: &'static str, code: &'static str| match parameters
            .and_then(|parameters| parameters.all(name))
            .as_deref()
        {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(*value)),
            Some(_) => Err(BadRequest::new(code, format!("`{name}` occurs more than once: keep one"))),
        };

        let ad_id = request.path_parameters_ref().and_then(|parameters| parameters.first("ad-id")).unwrap_or_default();
        let ad_id = parse_id(ad_id)?;
        let range = parse_range(parameter("start", "InvalidDay")?, parameter("end", "InvalidDay")?, today)?;
        let limit = parameter("limit", "InvalidLimit")?.map_or(Ok(DEFAULT_LIMIT), parse_limit)?;
        let from = match parameter("page", "InvalidPage")? {
            None => *range.start(),
            Some(page) => page_key.open(page, ad_id, &range).ok_or_else(|| {
                BadRequest::new(
                    "InvalidPage",
                    "`page` does not belong to this ad and range: use `next` of the previous answer, with the same `start` \
                     and `end`",
                )
            })?,
        };
        Ok(Self { ad_id, range, from, limit })
    }
}

fn parse_id(text: &str) -> Result<Uuid, BadRequest> {
    const HYPHENATED_LEN: usize = 36;
    let id = Some(text).filter(|text| text.len() == HYPHENATED_LEN).and_then(|text| Uuid::try_parse(text).ok());
    id.ok_or_else(|| BadRequest::new("InvalidAdId", "the ad's id is not a UUID: write 8-4-4-4-12 hexadecimal digits"))
}

/// Without both, yesterday. With only `start`, up to yesterday, or that day alone if it is later. With only `end`, that day.
fn parse_range(
    start: Option<&str>,
    end: Option<&str>,
    today: NaiveDate,
) -> Result<RangeInclusive<NaiveDate>, BadRequest> {
    let yesterday = today.checked_sub_days(Days::new(1)).unwrap_or(today);
    let start = start.map(|text| parse_day("start", text)).transpose()?;
    let end = end.map(|text| parse_day("end", text)).transpose()?;
    let end = end.unwrap_or_else(|| start.map_or(yesterday, |start| start.max(yesterday)));
    let start = start.unwrap_or(end);
    if start > end {
        return Err(BadRequest::new("InvalidRange", "`start` is after `end`"));
    }
    let days = end.signed_duration_since(start).num_days().unsigned_abs() + 1;
    if days > MAX_DAYS {
        return Err(BadRequest::new("InvalidRange", format!("the range has {days} days: ask for at most {MAX_DAYS}")));
    }
    Ok(start..=end)
}

fn parse_day(name: &str, text: &str) -> Result<NaiveDate, BadRequest> {
    // The parser alone would take `2026-1-2` and `+2026-01-02` too.
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    Some(text)
        .filter(|_| is_plain)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| BadRequest::new("InvalidDay", format!("`{name}` is not a day: write YYYY-MM-DD")))
}

fn parse_limit(text: &str) -> Result<usize, BadRequest> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| BadRequest::new("InvalidLimit", format!("`limit` is a number of days from 1 to {MAX_LIMIT}")))
}

fn cut(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 40;
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use lambda_http::http;

    use super::*;

    const AD: &str = "fc91623b-7c70-42a6-829b-29b0eb3d61de";

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn parse_for(ad: &str, parameters: &[(&str, &str)]) -> Result<Query, BadRequest> {
        let mut query = std::collections::HashMap::<String, Vec<String>>::new();
        for (name, value) in parameters {
            query.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        let path = std::collections::HashMap::from([("ad-id".to_owned(), ad.to_owned())]);
        let request =
            http::Request::new(lambda_http::Body::Empty).with_path_parameters(path).with_query_string_parameters(query);
        Query::parse(&request, day("2026-11-20"), &key())
    }

    fn key() -> PageKey {
        PageKey::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn parse(parameters: &[(&str, &str)]) -> Result<Query, BadRequest> {
        parse_for(AD, parameters)
    }

    fn range(parameters: &[(&str, &str)]) -> (String, String) {
        let range = parse(parameters).unwrap().range;
        (range.start().to_string(), range.end().to_string())
    }

    #[test]
    fn the_default_is_yesterday() {
        assert_eq!(range(&[]), ("2026-11-19".into(), "2026-11-19".into()));
        assert_eq!(range(&[("end", "2026-11-10")]), ("2026-11-10".into(), "2026-11-10".into()));
        assert_eq!(range(&[("start", "2026-11-10")]), ("2026-11-10".into(), "2026-11-19".into()));
        assert_eq!(range(&[("start", "2026-11-20")]), ("2026-11-20".into(), "2026-11-20".into()));
        let query = parse(&[]).unwrap();
        assert_eq!((query.limit, query.from), (100, day("2026-11-19")));
    }

    #[test]
    fn a_range_has_at_most_366_days() {
        assert_eq!(
            range(&[("start", "2024-01-01"), ("end", "2024-12-31")]),
            ("2024-01-01".into(), "2024-12-31".into())
        );
        assert_eq!(parse(&[("start", "2024-01-01"), ("end", "2025-01-01")]).unwrap_err().code, "InvalidRange");
    }

    #[test]
    fn invalid_parameters_are_refused_with_a_code() {
        for (parameters, code) in [
            (&[("start", "2026-11-20"), ("end", "2026-11-19")][..], "InvalidRange"),
            (&[("start", "2026-1-1")], "InvalidDay"),
            (&[("start", "+2026-01-1")], "InvalidDay"),
            (&[("end", "2026-02-29")], "InvalidDay"),
            (&[("end", "")], "InvalidDay"),
            (&[("end", "today")], "InvalidDay"),
            (&[("start", "2026-11-01"), ("start", "2026-11-02")], "InvalidDay"),
            (&[("limit", "0")], "InvalidLimit"),
            (&[("limit", "101")], "InvalidLimit"),
            (&[("limit", "+5")], "InvalidLimit"),
            (&[("limit", "ten")], "InvalidLimit"),
            (&[("limit", "1"), ("limit", "2")], "InvalidLimit"),
            (&[("page", "")], "InvalidPage"),
            (&[("page", "AAAA")], "InvalidPage"),
            (&[("ad", "1")], "UnknownParameter"),
            (&[("Start", "2026-11-01")], "UnknownParameter"),
        ] {
            assert_eq!(parse(parameters).unwrap_err().code, code, "{parameters:?}");
        }
        for ad in ["", "x", "fc91623b7c7042a6829b29b0eb3d61de", "{fc91623b-7c70-42a6-829b-29b0eb3d61d}"] {
            assert_eq!(parse_for(ad, &[]).unwrap_err().code, "InvalidAdId", "{ad}");
        }
        assert_eq!(parse(&[("limit", "1")]).unwrap().limit, 1);
        assert_eq!(parse(&[("limit", "100")]).unwrap().limit, 100);
    }

    #[test]
    fn a_page_continues_where_the_last_one_ended() {
        let first = parse(&[("start", "2026-11-01"), ("end", "2026-11-19")]).unwrap();
        let page = key().seal(day("2026-11-08"), first.ad_id, &first.range);
        let second = parse(&[("start", "2026-11-01"), ("end", "2026-11-19"), ("page", &page)]).unwrap();
        assert_eq!(second, Query { from: day("2026-11-08"), ..first });
        let other_range = parse(&[("start", "2026-11-02"), ("end", "2026-11-19"), ("page", &page)]);
        assert_eq!(other_range.unwrap_err().code, "InvalidPage");
    }

    #[test]
    fn an_unknown_parameter_is_named_by_its_first_40_characters() {
        let begins = "\u{e9}".repeat(40);
        let message = parse(&[(&format!("{begins}x"), "1")]).unwrap_err().message;
        assert!(message.starts_with(&format!("`{begins}` ")), "{message}");
    }
}

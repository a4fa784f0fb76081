//! Parameters and page tokens of `GET /traffic/{ad-id}`.

use std::collections::HashMap;

use ad_traffic::{Context, PageKey};
use fastrand::Rng;
use lambda_http::{Body, Request, RequestExt};
use serde_json::Value;

use crate::stores::{EveryDay, Runtime};
use crate::{Target, mutate};

const ADS: [&str; 2] = ["ad000000-0000-4000-8000-000000000001", "ad000000-0000-4000-8000-000000000002"];
const RANGES: [(&str, &str); 3] =
    [("2025-11-01", "2025-11-10"), ("2025-11-01", "2025-11-11"), ("2024-01-01", "2024-12-31")];

/// What tokens and days are made of, and what is none of it.
const PIECES: [&[u8]; 14] =
    [b"A", b"_", b"-", b"=", b"+", b"/", b"%2B", b"0", b"9999", b"\n", b"\xc3\xa9", b" ", b"-01-", b"2025-02-30"];

/// Requests, a parameter to a line: ad, start, end, limit, page.
pub struct Pages {
    runtime: Runtime,
    context: Context<EveryDay>,
    /// By ad and range, the tokens that the function gave.
    tokens: HashMap<(usize, usize), Vec<String>>,
}

impl Default for Pages {
    fn default() -> Self {
        let key = PageKey::new(&"k".repeat(32)).unwrap_or_else(|error| panic!("{error}"));
        let mut pages =
            Self { runtime: Runtime::default(), context: Context::new(EveryDay, key), tokens: HashMap::new() };
        for (ad, range) in (0..ADS.len()).flat_map(|ad| (0..RANGES.len()).map(move |range| (ad, range))) {
            let mut tokens: Vec<String> = Vec::new();
            while let Some(next) = pages.next(ADS[ad], RANGES[range], tokens.last()) {
                tokens.push(next);
            }
            assert!(tokens.len() >= 3, "each page has three days");
            pages.tokens.insert((ad, range), tokens);
        }
        pages
    }
}

impl Pages {
    fn next(&self, ad: &str, (start, end): (&str, &str), page: Option<&String>) -> Option<String> {
        let mut parameters = vec![("start", start), ("end", end), ("limit", "3")];
        parameters.extend(page.map(|page| ("page", page.as_str())));
        let (status, answer) = self.ask(ad, &parameters);
        assert_eq!(status, 200, "{answer}");
        answer["next"].as_str().map(str::to_owned)
    }

    fn ask(&self, ad: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
        let query: HashMap<String, Vec<String>> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let path = HashMap::from([("ad-id".to_owned(), vec![ad.to_owned()])]);
        let request = Request::new(Body::Empty).with_query_string_parameters(query).with_path_parameters(path);
        let response = self.runtime.run(ad_traffic::handle(request, &self.context));
        let answer =
            serde_json::from_slice(response.body().as_ref()).unwrap_or_else(|error| panic!("not JSON: {error}"));
        (response.status().as_u16(), answer)
    }
}

impl Target for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let (ad, range) = (rng.usize(..ADS.len()), rng.usize(..RANGES.len()));
        let (start, end) = RANGES[range];
        // Mostly the request's own token, else one of another ad or range.
        let given =
            if mutate::one_in(rng, 3) { (rng.usize(..ADS.len()), rng.usize(..RANGES.len())) } else { (ad, range) };
        let tokens = &self.tokens[&given];
        let mut token = tokens[rng.usize(..tokens.len())].clone().into_bytes();
        if mutate::one_in(rng, 2) {
            mutate::damage(rng, &mut token, &PIECES);
        }
        let mut input = format!("{}\n{start}\n{end}\n{}\n", ADS[ad], rng.usize(1..=100)).into_bytes();
        if mutate::one_in(rng, 4) {
            mutate::damage(rng, &mut input, &PIECES);
        }
        input.append(&mut token);
        input
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(input) else { return false };
        let parts: Vec<&str> = text.splitn(5, '\n').collect();
        let &[ad, start, end, limit, page] = parts.as_slice() else { return false };
        let (status, answer) = self.ask(ad, &[("start", start), ("end", end), ("limit", limit), ("page", page)]);
        assert!([200, 400].contains(&status), "{status}");
        let ad = ADS.iter().position(|known| known.eq_ignore_ascii_case(ad));
        let range = RANGES.iter().position(|known| *known == (start, end));
        let is_given = ad.zip(range).is_some_and(|place| self.tokens[&place].iter().any(|token| token == page));
        assert!(status == 400 || is_given, "a token opened that was not given for this: {answer}");
        if status == 400 {
            assert!(!is_given || answer["error_code"] == "InvalidLimit", "{answer}");
        }
        status == 200
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 64)
    }
}

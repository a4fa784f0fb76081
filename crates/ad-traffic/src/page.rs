//! Signed tokens for the next page.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{Datelike, NaiveDate};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// The secret that signs page tokens.
#[derive(Clone)]
pub struct PageKey(Hmac<Sha256>);

impl std::fmt::Debug for PageKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("PageKey(…)")
    }
}

/// The bytes of the day in a token: its number, big-endian, where day 1 is 0001-01-01.
const DAY_LEN: usize = 4;

/// The bytes of the MAC in a token: 128 bits cannot be guessed through an API.
const MAC_LEN: usize = 16;

/// The minimum length of the secret.
const MIN_SECRET_LEN: usize = 32;

impl PageKey {
    /// A key from a secret.
    ///
    /// # Errors
    /// When the secret is too short.
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < MIN_SECRET_LEN {
            return Err(format!("it has {} characters, and needs at least {MIN_SECRET_LEN}", secret.len()));
        }
        Hmac::new_from_slice(secret.as_bytes()).map(Self).map_err(|error| error.to_string())
    }

    /// A token for the page that begins with `from`, valid for this ad and range only.
    pub(crate) fn seal(&self, from: NaiveDate, ad_id: Uuid, range: &RangeInclusive<NaiveDate>) -> String {
        let from = from.num_days_from_ce().to_be_bytes();
        let mac = self.mac(from, ad_id, range).finalize().into_bytes();
        let mut token = from.to_vec();
        token.extend_from_slice(&mac[..MAC_LEN]);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// The first day of the token's page, if the token was made for this ad and range.
    pub(crate) fn open(&self, token: &str, ad_id: Uuid, range: &RangeInclusive<NaiveDate>) -> Option<NaiveDate> {
        let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (from, mac) = token.split_first_chunk::<DAY_LEN>()?;
        if mac.len() != MAC_LEN {
            return None;
        }
        self.mac(*from, ad_id, range).verify_truncated_left(mac).ok()?;
        NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes(*from)).filter(|from| range.contains(from))
    }

    fn mac(&self, from: [u8; DAY_LEN], ad_id: Uuid, range: &RangeInclusive<NaiveDate>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&from);
        mac.update(ad_id.as_bytes());
        mac.update(&range.start().num_days_from_ce().to_be_bytes());
        mac.update(&range.end().num_days_from_ce().to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: &str) -> PageKey {
        PageKey::new(&secret.repeat(32)).unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn november() -> RangeInclusive<NaiveDate> {
        day("2026-11-01")..=day("2026-11-30")
    }

    const AD: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_token_opens_for_its_ad_and_range_and_key_only() {
        let token = key("a").seal(day("2026-11-05"), AD, &november());
        assert_eq!(token.len(), 27);
        assert_eq!(key("a").open(&token, AD, &november()), Some(day("2026-11-05")));
        assert_eq!(key("b").open(&token, AD, &november()), None);
        assert_eq!(key("a").open(&token, Uuid::from_u128(2), &november()), None);
        assert_eq!(key("a").open(&token, AD, &(day("2026-11-01")..=day("2026-12-01"))), None);
        assert_eq!(key("a").open(&token, AD, &(day("2026-10-31")..=day("2026-11-30"))), None);
    }

    #[test]
    fn a_short_secret_is_refused_and_no_secret_is_printed() {
        assert!(PageKey::new("short").is_err());
        assert_eq!(format!("{:?}", key("a")), "PageKey(…)");
    }

    proptest! {
        #[test]
        fn a_changed_token_never_opens(index in 0_usize..27, letter in "[A-Za-z0-9_-]") {
            let token = key("a").seal(day("2026-11-05"), AD, &november());
            let mut changed = token.clone();
            changed.replace_range(index..=index, &letter);
            prop_assert_eq!(key("a").open(&changed, AD, &november()).is_some(), changed == token);
        }

        #[test]
        fn arbitrary_text_does_not_panic(token in "\\PC{0,40}") {
            prop_assert_eq!(key("a").open(&token, AD, &november()), None);
        }
    }
}

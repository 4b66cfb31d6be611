//! `jeton token inspect`: what a text looks like, by its public format alone. Nothing is asked, and the text is never shown.

use std::path::Path;

use jeton_core::{
    refusal::Refusal,
    token::text::{Class, TokenText},
};
use serde_json::{Value, json};

use super::{
    fault::{FAILED, Fault},
    out::Out,
    secret,
    table::{Column, at},
};

const SHOW: [Column; 5] = [
    at("looks like", "/verdict"),
    at("prefix", "/prefix"),
    at("class", "/class"),
    at("means", "/meaning"),
    at("checksum", "/checksum"),
];

/// Runs the command: exit status 0 for the shape of a token with the right checksum, 1 otherwise.
pub(super) fn run(of: Option<&Path>, out: Out) -> Result<(), Fault> {
    let text = secret::read(of, "token")?;
    let seen = look(text.expose_secret());
    out.thing(&SHOW, &seen)?;
    if seen.get("checksum").and_then(Value::as_str) == Some("right") {
        return Ok(());
    }
    Err(Fault::Told(FAILED))
}

fn meaning(class: Class) -> &'static str {
    match class {
        Class::Key => "an API key",
        Class::Pat => "a personal token of a user",
        Class::Svc => "a token of an application",
        Class::Pub => "a publishable key",
        Class::Acc => "an access token",
        Class::Ref => "a refresh token",
        Class::Sec => "a client secret",
    }
}

fn look(text: &str) -> Value {
    let (verdict, checksum) = match TokenText::parse(text) {
        Ok(_) => (
            "a token of jeton; whether it works, only the server knows",
            "right",
        ),
        Err(Refusal::TokenChecksum) => ("a token of jeton with a letter lost or changed", "wrong"),
        Err(_) => return json!({"verdict": "not a token of jeton"}),
    };
    // The shape is right, so the first two parts are no secret.
    let mut parts = text.split('_');
    let prefix = parts.next().unwrap_or_default();
    let class = parts.next().and_then(|c| Class::parse(c.as_bytes()));
    json!({
        "verdict": verdict,
        "prefix": prefix,
        "class": class.map(Class::as_str),
        "meaning": class.map(meaning),
        "checksum": checksum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_core::token::text::{Prefix, TextDraw, mint};

    #[test]
    fn the_format_alone_tells_a_token_from_a_slip() {
        let prefix = Prefix::parse(b"acme").unwrap();
        let token = mint(prefix, Class::Key, &TextDraw([7; 64])).unwrap();
        let good = look(token.expose_secret());
        assert_eq!(good["prefix"], "acme");
        assert_eq!(good["class"], "key");
        assert_eq!(good["checksum"], "right");
        let slip = token.expose_secret().replacen("_7", "_8", 1);
        assert_eq!(look(&slip)["checksum"], "wrong");
        assert!(look("hello").get("checksum").is_none());
        for seen in [good, look(&slip)] {
            assert!(!seen.to_string().contains("777"), "the text is never shown");
        }
    }
}

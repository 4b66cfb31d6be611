//! Grants as people write them: `API=scope,scope@pattern;pattern`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::units;
use crate::http::view::GrantView;

/// Reads a grant: the API by name, id or audience, its scopes, and the resources that they reach.
pub(super) fn grant(text: &str) -> Result<GrantView, String> {
    let rule = "a grant is written API=scope,scope or API=scope@pattern;pattern";
    let Some((api, rest)) = text.split_once('=') else {
        return Err(format!("{rule}: there is no '='"));
    };
    if api.is_empty() {
        return Err(format!("{rule}: the API is missing before '='"));
    }
    let (scopes, patterns) = match rest.split_once('@') {
        None => (rest, None),
        Some((scopes, patterns)) => (scopes, Some(patterns)),
    };
    let scopes = parts(scopes, ',').ok_or_else(|| format!("{rule}: a scope is missing"))?;
    let resources = match patterns {
        None => Vec::new(),
        Some(patterns) => {
            parts(patterns, ';').ok_or_else(|| format!("{rule}: a pattern is missing after '@'"))?
        }
    };
    Ok(GrantView {
        api: api.to_owned(),
        scopes,
        resources,
    })
}

/// The parts between separators; `None` if one is empty.
fn parts(text: &str, between: char) -> Option<Vec<String>> {
    let parts: Vec<String> = text
        .split(between)
        .map(|part| part.trim().to_owned())
        .collect();
    (!parts.iter().any(String::is_empty)).then_some(parts)
}

/// A scope and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) description: String,
}

/// Reads `name=description`, or a name alone.
pub(super) fn described(text: &str) -> Result<Described, String> {
    let (name, description) = text.split_once('=').unwrap_or((text, ""));
    if name.trim() != name || name.is_empty() {
        return Err("a scope is written name=description".to_owned());
    }
    Ok(Described {
        name: name.to_owned(),
        description: description.trim().to_owned(),
    })
}

/// What may be used.
#[derive(Args, Debug)]
pub(super) struct UseArgs {
    /// Scopes of an API, on all its resources or on those of the patterns; again for more
    #[arg(long = "grant", value_name = "API=SCOPES[@PATTERNS]", value_parser = grant)]
    pub(super) grants: Vec<GrantView>,
}

/// What may be handed on.
#[derive(Args, Debug)]
pub(super) struct GiveArgs {
    /// Scopes that it may hand on to what it makes; again for more
    #[arg(long = "give", value_name = "API=SCOPES[@PATTERNS]", value_parser = grant)]
    gives: Vec<GrantView>,
    /// May hand on everything in the tenant, now and later
    #[arg(long, conflicts_with = "gives")]
    give_everything: bool,
    /// What it makes lives at most so long
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    give_lifetime_max: Option<u64>,
}

impl GiveArgs {
    /// As the API takes it; `None`: nothing may be handed on.
    pub(super) fn json(&self) -> Option<Value> {
        if self.gives.is_empty() && !self.give_everything {
            return None;
        }
        let mut give = Map::new();
        if self.give_everything {
            give.insert("everything".to_owned(), Value::Bool(true));
        } else {
            give.insert("grants".to_owned(), json!(self.gives));
        }
        if let Some(most) = self.give_lifetime_max {
            give.insert("lifetime_max_s".to_owned(), most.into());
        }
        Some(Value::Object(give))
    }

    /// A bound on nothing is a slip.
    pub(super) fn sound(&self) -> Result<(), super::fault::Fault> {
        if self.give_lifetime_max.is_some() && self.json().is_none() {
            let words = "--give-lifetime-max bounds what --give or --give-everything allows: add one of them";
            return Err(super::fault::Fault::usage(words));
        }
        Ok(())
    }
}

/// The permit of a role or an application.
#[derive(Args, Debug)]
pub(super) struct PermitArgs {
    #[command(flatten)]
    uses: UseArgs,
    #[command(flatten)]
    give: GiveArgs,
}

impl PermitArgs {
    /// As the API takes it.
    pub(super) fn json(&self) -> Result<Value, super::fault::Fault> {
        self.give.sound()?;
        let mut permit = json!({"grants": self.uses.grants});
        if let (Some(map), Some(give)) = (permit.as_object_mut(), self.give.json()) {
            map.insert("give".to_owned(), give);
        }
        Ok(permit)
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.uses.grants.is_empty()
            && self.give.json().is_none()
            && self.give.give_lifetime_max.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(api: &str, scopes: &[&str], resources: &[&str]) -> GrantView {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        GrantView {
            api: api.to_owned(),
            scopes: owned(scopes),
            resources: owned(resources),
        }
    }

    #[test]
    fn grants_are_read() {
        assert_eq!(
            grant("documents=docs:read"),
            Ok(view("documents", &["docs:read"], &[]))
        );
        assert_eq!(
            grant("documents=docs:read,docs:write@projects/**;teams/*"),
            Ok(view(
                "documents",
                &["docs:read", "docs:write"],
                &["projects/**", "teams/*"]
            ))
        );
        assert_eq!(
            grant("https://api.example.test/v1=a, b"),
            Ok(view("https://api.example.test/v1", &["a", "b"], &[]))
        );
    }

    #[test]
    fn slips_are_named() {
        for (text, says) in [
            ("documents", "no '='"),
            ("=a", "the API is missing"),
            ("documents=", "a scope is missing"),
            ("documents=a,", "a scope is missing"),
            ("documents=a,,b", "a scope is missing"),
            ("documents=@x", "a scope is missing"),
            ("documents=a@", "a pattern is missing"),
            ("documents=a@x;", "a pattern is missing"),
        ] {
            let error = grant(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn scopes_have_descriptions() {
        let read = described("docs:read=Read documents, all = of them.").unwrap();
        assert_eq!(read.name, "docs:read");
        assert_eq!(read.description, "Read documents, all = of them.");
        assert_eq!(described("docs:read").unwrap().description, "");
        for bad in ["", "=x", " a=x"] {
            assert!(described(bad).is_err(), "{bad}");
        }
    }
}

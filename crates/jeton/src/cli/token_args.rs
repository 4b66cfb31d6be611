//! What `jeton token` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jeton_core::{id::TokenKind, token::record::Reason};
use serde_json::{Map, Value, json};

use super::{
    grants::{GiveArgs, UseArgs},
    link::Link,
    names::{id, subject_id},
    policies::ClassName,
    remote::{Once, Pages},
    units,
    users::NameArgs,
};
use crate::http::view::LimitView;

const EXAMPLES: &str = "\
Examples:
  jeton token create --class key --subject usr_… --grant documents=docs:read --lifetime 90d --name laptop
  jeton token create --class pat --subject usr_… --inherit --secret-file ./pat
  jeton token create --class svc --subject app_… --grant 'documents=docs:read@projects/**' \\
      --network 10.0.0.0/8 --limit 100/60s --permanent
  jeton token rotate tok_… --overlap 1h --secret-file ./key
  jeton token revoke tok_… --reason leaked --note 'found in a public repository'
  jeton token erase tok_… tok_…
  jeton token find < found.txt
  jeton token inspect < found.txt

The secret of a new token stands alone on standard output, all else on standard error: `jeton token create … > file` keeps just the \
secret, --secret-file does so with mode 0600.";

/// Tokens.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    pub(super) command: TokenCommand,
}

/// A token by its id.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// Its id, as tok_… (never the token itself)
    #[arg(value_name = "ID", value_parser = id::<TokenKind>)]
    pub(super) token: String,
}

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Issue a token; its secret is shown once
    Create(Box<Create>),
    /// List tokens: all by age, or those of one owner, youngest first
    List {
        /// Only those of this user or application
        #[arg(long, value_name = "ID", value_parser = subject_id)]
        subject: Option<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// Show a token
    Show(Which),
    /// Find a token by its text, read from standard input or a file
    Find(Text),
    /// Change a token's rights, conditions, end or limit; what is not named stays
    Change(Box<Change>),
    /// Replace a token's secret; the old one stays good for the overlap
    Rotate(Rotate),
    /// Stop a token until it is resumed
    Suspend(Why),
    /// Let a suspended token work again
    Resume(Why),
    /// End a token, for good
    Revoke(Why),
    /// End all tokens of a subject, or of the whole tenant, issued before now
    CutOff(CutOff),
    /// Erase tokens that have been revoked or expired for a day: nobody knows them any more
    Erase {
        /// Their ids, as tok_…: all go, or none
        #[arg(required = true, value_name = "ID", value_parser = id::<TokenKind>)]
        tokens: Vec<String>,
    },
    /// Show the token that this command uses
    Whoami,
    /// Say what a text looks like, without asking anybody: read from standard input or a file, and never shown
    Inspect(Text),
}

/// Where the text of a token comes from.
#[derive(Args, Debug)]
pub(super) struct Text {
    /// The file that holds it; standard input unless told
    #[arg(long, value_name = "FILE")]
    pub(super) of: Option<PathBuf>,
}

/// When a token ends.
#[derive(Args, Debug)]
pub(super) struct End {
    /// How long it lives from now, as 30d or 12h
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    lifetime: Option<u64>,
    /// When it ends, as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = units::instant, conflicts_with = "lifetime")]
    expires_at: Option<String>,
    /// It does not end: an explicit choice, which the policy must allow
    #[arg(long, conflicts_with_all = ["lifetime", "expires_at"])]
    permanent: bool,
}

impl End {
    fn put(&self, order: &mut Map<String, Value>) {
        order.extend(self.lifetime.map(|s| ("lifetime_s".to_owned(), s.into())));
        let at = self.expires_at.clone();
        order.extend(at.map(|at| ("expires_at".to_owned(), at.into())));
        if self.permanent {
            order.insert("permanent".to_owned(), true.into());
        }
    }
}

/// From where and for which requests a token may be used.
#[derive(Args, Debug)]
pub(super) struct Conditions {
    /// Only from this address or network; again for more
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,
    /// Only with this method; again for more
    #[arg(long = "method", value_name = "METHOD", value_parser = units::method)]
    methods: Vec<String>,
    /// Only on paths of this pattern; again for more
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// Not before, as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = units::instant)]
    not_before: Option<String>,
}

impl Conditions {
    /// The conditions that were named, over those that were.
    fn over(&self, mut known: Map<String, Value>) -> Map<String, Value> {
        let lists = [
            ("networks", &self.networks),
            ("methods", &self.methods),
            ("paths", &self.paths),
        ];
        for (name, list) in lists {
            if !list.is_empty() {
                known.insert(name.to_owned(), list.clone().into());
            }
        }
        let from = self.not_before.clone();
        known.extend(from.map(|at| ("not_before".to_owned(), at.into())));
        known
    }

    fn is_empty(&self) -> bool {
        self.over(Map::new()).is_empty()
    }
}

/// An order for a token.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// What it is
    #[arg(long, value_enum)]
    class: ClassName,
    /// The user or application that it shall belong to
    #[arg(long, value_name = "ID", value_parser = subject_id)]
    subject: String,
    #[command(flatten)]
    uses: UseArgs,
    /// It may do all that its owner may, now and later
    #[arg(long, conflicts_with = "grants")]
    inherit: bool,
    #[command(flatten)]
    give: GiveArgs,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    end: End,
    /// How often it may be used, as 100/60s
    #[arg(long, value_name = "COUNT/SPAN", value_parser = units::limit)]
    limit: Option<LimitView>,
    #[command(flatten)]
    words: NameArgs,
    #[command(flatten)]
    pub(super) once: Once,
    /// Write the secret into a new file of mode 0600, and show it nowhere
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
}

impl Create {
    /// The order as the API takes it.
    pub(super) fn order(self) -> Result<(Value, Once), super::fault::Fault> {
        self.give.sound()?;
        let mut map = Map::new();
        map.insert("class".to_owned(), self.class.as_str().into());
        map.insert("subject".to_owned(), self.subject.into());
        if self.inherit {
            map.insert("inherit".to_owned(), true.into());
        } else if !self.uses.grants.is_empty() {
            map.insert("grants".to_owned(), json!(self.uses.grants));
        }
        map.extend(self.give.json().map(|give| ("give".to_owned(), give)));
        let conditions = self.conditions.over(Map::new());
        map.insert("conditions".to_owned(), Value::Object(conditions));
        self.end.put(&mut map);
        map.extend(self.limit.map(|l| ("limit".to_owned(), json!(l))));
        let mut order = Value::Object(map);
        self.words.put(&mut order);
        Ok((order, self.once))
    }
}

/// What shall be different about a token.
#[derive(Args, Debug)]
pub(super) struct Change {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    uses: UseArgs,
    #[command(flatten)]
    conditions: Conditions,
    /// From anywhere, for any request, at once
    #[arg(long, conflicts_with_all = ["networks", "methods", "paths", "not_before"])]
    unconditional: bool,
    #[command(flatten)]
    end: End,
    /// How often it may be used, as 100/60s
    #[arg(long, value_name = "COUNT/SPAN", value_parser = units::limit)]
    limit: Option<LimitView>,
    /// No limit any more
    #[arg(long, conflicts_with = "limit")]
    unlimited: bool,
}

impl Change {
    /// Whether the conditions that the token has are needed: the server takes them as a whole.
    pub(super) fn needs_known(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The order as the API takes it, with the conditions that the token has.
    pub(super) fn order(&self, known: Map<String, Value>) -> Map<String, Value> {
        let mut map = Map::new();
        if !self.uses.grants.is_empty() {
            map.insert("grants".to_owned(), json!(self.uses.grants));
        }
        if self.unconditional {
            map.insert("conditions".to_owned(), json!({}));
        } else if !self.conditions.is_empty() {
            let after = self.conditions.over(known);
            map.insert("conditions".to_owned(), Value::Object(after));
        }
        self.end.put(&mut map);
        map.extend(self.limit.map(|l| ("limit".to_owned(), json!(l))));
        if self.unlimited {
            map.insert("unlimited".to_owned(), true.into());
        }
        map
    }
}

/// How a secret shall be replaced.
#[derive(Args, Debug)]
pub(super) struct Rotate {
    #[command(flatten)]
    pub(super) which: Which,
    /// How long the old secret stays good; a day unless told
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    overlap: Option<u64>,
    /// Another lifetime from now; the end stays where it is unless told
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    lifetime: Option<u64>,
    /// The lifetime that the policy of its class gives by default, from now
    #[arg(long, conflicts_with = "lifetime")]
    renew: bool,
    #[command(flatten)]
    pub(super) once: Once,
    /// Write the secret into this file with mode 0600, over the old one, and show it nowhere
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
}

impl Rotate {
    /// The order as the API takes it.
    pub(super) fn order(&self) -> Value {
        let mut map = Map::new();
        map.extend(self.overlap.map(|s| ("overlap_s".to_owned(), s.into())));
        map.extend(self.lifetime.map(|s| ("lifetime_s".to_owned(), s.into())));
        if self.renew {
            map.insert("renew".to_owned(), true.into());
        }
        Value::Object(map)
    }
}

/// A token, and why.
#[derive(Args, Debug)]
pub(super) struct Why {
    #[command(flatten)]
    pub(super) which: Which,
    /// Why
    #[arg(long, value_enum)]
    reason: Option<ReasonName>,
    /// Why, in your own words
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl Why {
    /// The order as the API takes it.
    pub(super) fn order(&self) -> Value {
        let mut map = Map::new();
        map.extend(
            self.reason
                .map(|r| ("reason".to_owned(), r.0.as_str().into())),
        );
        map.extend(self.note.clone().map(|n| ("note".to_owned(), n.into())));
        Value::Object(map)
    }
}

/// A reason, by the words of the core.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReasonName(Reason);

impl ValueEnum for ReasonName {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ReasonName; 6] = [
            ReasonName(Reason::Leaked),
            ReasonName(Reason::Superseded),
            ReasonName(Reason::Unneeded),
            ReasonName(Reason::OwnerLeft),
            ReasonName(Reason::Abuse),
            ReasonName(Reason::Unspecified),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

/// Whose tokens shall end.
#[derive(Args, Debug)]
pub(super) struct CutOff {
    /// All tokens of this user or application
    #[arg(long, value_name = "ID", value_parser = subject_id, required_unless_present = "everything")]
    pub(super) subject: Option<String>,
    /// All tokens of the tenant, the one that this command uses among them
    #[arg(long, conflicts_with = "subject")]
    pub(super) everything: bool,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub(super) yes: bool,
    /// Why
    #[arg(long, value_enum)]
    reason: Option<ReasonName>,
}

impl CutOff {
    /// The order as the API takes it.
    pub(super) fn order(&self) -> Value {
        let mut map = Map::new();
        match &self.subject {
            Some(subject) => map.insert("subject".to_owned(), subject.clone().into()),
            None => map.insert("everything".to_owned(), true.into()),
        };
        map.extend(
            self.reason
                .map(|r| ("reason".to_owned(), r.0.as_str().into())),
        );
        Value::Object(map)
    }
}

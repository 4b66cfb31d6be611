//! Policies: what a tenant allows for each class of tokens.

use http::StatusCode;
use jeton_core::{
    founding,
    policy::{ClassPolicy, Inclusion, Permanence},
    refusal::{Blame, Refusal},
    time::Span,
    token::text::Class,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Words, simple},
    http::{
        caller::{Caller, PoliciesRead, PoliciesWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
        view::{LimitView, Page},
    },
    node::{start::Node, writer::Purpose},
};

/// A policy.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyView {
    /// The lifetime of a token whose order names none.
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_default_s: u64,
    /// The longest lifetime that an order may name.
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_max_s: u64,
    /// Unused for so long, a token stops working. One day at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 86_400, max = 631_152_000))]
    pub idle_s: Option<u64>,
    /// Whether tokens without an end may be ordered.
    pub permanent: bool,
    /// The limit of a token whose order names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
    /// The longest overlap of a rotation.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub overlap_max_s: u64,
    /// What the ledger must show before a token authenticates: `logged` (at once) or `witnessed` (once witnesses have cosigned
    /// its issuance). Revocations never wait.
    #[serde(default)]
    pub inclusion: InclusionView,
}

/// What the ledger must show.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum InclusionView {
    /// The issuance is in the ledger.
    #[default]
    Logged,
    /// Witnesses have cosigned it.
    Witnessed,
}

/// A policy with the class it is for.
#[derive(Serialize, JsonSchema)]
pub struct ClassPolicyView {
    /// The class.
    pub class: String,
    /// Its policy.
    pub policy: PolicyView,
}

impl PolicyView {
    /// As stored.
    #[must_use]
    pub fn of(policy: &ClassPolicy) -> Self {
        Self {
            lifetime_default_s: policy.lifetime_default.as_seconds(),
            lifetime_max_s: policy.lifetime_max.as_seconds(),
            idle_s: policy.idle.map(Span::as_seconds),
            permanent: policy.permanence == Permanence::Explicit,
            limit: policy.limit.map(LimitView::of),
            overlap_max_s: policy.overlap_max.as_seconds(),
            inclusion: match policy.inclusion {
                Inclusion::Logged => InclusionView::Logged,
                Inclusion::Witnessed => InclusionView::Witnessed,
            },
        }
    }
}

fn view(class: Class, policy: &ClassPolicy) -> ClassPolicyView {
    ClassPolicyView {
        class: class.as_str().to_owned(),
        policy: PolicyView::of(policy),
    }
}

/// A class in a path.
pub struct ClassName(Class);

impl core::str::FromStr for ClassName {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let class = Class::parse(text.as_bytes()).ok_or(Refusal::NotFound)?;
        match class {
            Class::Key | Class::Pat | Class::Svc | Class::Pub => Ok(Self(class)),
            Class::Acc | Class::Ref | Class::Sec => Err(Refusal::NotFound),
        }
    }
}

/// Lists the policies of all classes.
pub async fn list(caller: Caller<PoliciesRead>) -> Result<Reply<Page<ClassPolicyView>>, Problem> {
    let directory = caller.doors().node.verifier.directory();
    let tenant = directory.tenant(caller.tenant()).ok_or(Refusal::NotFound)?;
    let classes = [Class::Key, Class::Pat, Class::Svc, Class::Pub];
    let items = classes
        .iter()
        .map(|c| view(*c, &tenant.policy(*c)))
        .collect();
    Ok(Reply::new(StatusCode::OK, Page { items, next: None }))
}

/// Without witnesses no token of the class would ever work.
fn inclusion(node: &Node, wanted: InclusionView) -> Result<Inclusion, Blame> {
    match wanted {
        InclusionView::Logged => Ok(Inclusion::Logged),
        InclusionView::Witnessed if node.verifier.directory().log().policy.is_some() => {
            Ok(Inclusion::Witnessed)
        }
        InclusionView::Witnessed => Err(Blame::field(
            Refusal::FieldInvalid,
            "inclusion",
            "`witnessed` needs witnesses: the operator has configured no witness policy",
        )),
    }
}

/// Sets the policy of a class.
pub async fn put(
    caller: Caller<PoliciesWrite>,
    PathId(ClassName(class)): PathId<ClassName>,
    order: Order<PolicyView>,
) -> Result<Reply<ClassPolicyView>, Problem> {
    let ctx = caller.ctx();
    let wanted = order.value;
    let policy = ClassPolicy {
        lifetime_default: Span::seconds(wanted.lifetime_default_s),
        lifetime_max: Span::seconds(wanted.lifetime_max_s),
        idle: wanted.idle_s.map(Span::seconds),
        permanence: if wanted.permanent {
            Permanence::Explicit
        } else {
            Permanence::Refused
        },
        limit: wanted.limit.map(|l| l.read("limit")).transpose()?,
        overlap_max: Span::seconds(wanted.overlap_max_s),
        inclusion: inclusion(&ctx.node, wanted.inclusion)?,
    };
    let size = simple(
        &ctx,
        Purpose::Grow,
        Words::of(&ctx),
        move |facts, authority| founding::set_policy(authority, class, policy, facts.directory),
    );
    let size = size.await?;
    let directory = ctx.node.verifier.directory();
    let tenant = directory
        .tenant(ctx.tenant)
        .ok_or_else(|| Blame::from(Refusal::NotFound))?;
    Ok(Reply::new(StatusCode::OK, view(class, &tenant.policy(class))).at(size))
}

//! What goes over the wire: one type for each thing, read strictly, written plainly.

use jeton_core::{
    api::{JETON_API, JETON_API_NAME},
    directory::Directory,
    id::TenantId,
    limit::Limit,
    permit::{Conditions, Give, Permit, Rights},
    policy::LIFETIME_MAX,
    refusal::{Blame, Refusal},
    time::{Span, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An instant in RFC 3339, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Time);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        let stamp: jiff::Timestamp = text.parse().map_err(|_| {
            D::Error::custom("must be an instant in RFC 3339, as 2030-01-31T12:00:00Z")
        })?;
        let ms = u64::try_from(stamp.as_millisecond())
            .map_err(|_| D::Error::custom("lies before 1970"))?;
        Ok(Self(Time::from_millis(ms)))
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// An instant as RFC 3339 text, cut to the second.
#[must_use]
pub fn rfc3339(time: Time) -> jiff::Timestamp {
    jiff::Timestamp::from_second(i64::from(time.seconds())).unwrap_or_default()
}

/// An instant as HTTP writes it (IMF-fixdate, RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(time: Time) -> String {
    rfc3339(time)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Scopes of one API on some resources.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantView {
    /// The API, by id, short name or audience.
    #[schemars(length(max = 255))]
    pub api: String,
    /// Its scopes, by name.
    #[schemars(length(max = 256))]
    pub scopes: Vec<String>,
    /// Patterns of the resources that these scopes reach; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub resources: Vec<String>,
}

/// From where, when and for which requests a token may be used. An empty list does not restrict.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionsView {
    /// Addresses or networks in CIDR notation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub networks: Vec<String>,
    /// Methods in upper case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub methods: Vec<String>,
    /// Patterns of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub paths: Vec<String>,
    /// Not good before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
}

impl ConditionsView {
    fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// As stored.
    #[must_use]
    pub fn of(conditions: &Conditions) -> Self {
        Self {
            networks: conditions
                .networks
                .iter()
                .map(ToString::to_string)
                .collect(),
            methods: conditions.methods.clone(),
            paths: conditions
                .paths
                .iter()
                .map(|p| p.as_str().to_owned())
                .collect(),
            not_before: conditions.not_before.map(Instant),
        }
    }
}

/// What may be handed on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GiveView {
    /// Everything in the tenant, now and later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// Or these rights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub grants: Vec<GrantView>,
    /// What it makes is bound by conditions at least this strict.
    #[serde(skip_serializing_if = "ConditionsView::is_free")]
    pub conditions: ConditionsView,
    /// What it makes lives at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 631_152_000))]
    pub lifetime_max_s: Option<u64>,
}

impl GiveView {
    /// Into what may be handed on.
    ///
    /// # Errors
    /// A [`Blame`] on the field that is wrong.
    pub fn read(&self, directory: &Directory, tenant: TenantId) -> Result<Give, Blame> {
        let longest = self.lifetime_max_s.unwrap_or(1);
        if !(1..=LIFETIME_MAX.as_seconds()).contains(&longest) {
            let rule = "must be between 1 and 631152000 seconds (20 years)";
            let field = "give.lifetime_max_s";
            return Err(Blame::field(Refusal::FieldInvalid, field, rule));
        }
        crate::app::order::give(directory, tenant, self)
    }
}

/// So many requests in so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitView {
    /// How many: 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// In how many seconds: 1 to 86,400.
    #[schemars(range(min = 1, max = 86_400))]
    pub window_s: u32,
}

impl LimitView {
    /// As stored.
    #[must_use]
    pub fn of(limit: Limit) -> Self {
        Self {
            count: limit.count(),
            window_s: limit.window_s(),
        }
    }

    /// Into a limit.
    ///
    /// # Errors
    /// [`Refusal::FieldInvalid`] outside the bounds.
    pub fn read(self, field: &str) -> Result<Limit, Blame> {
        Limit::new(self.count, self.window_s).ok_or_else(|| {
            let rule = "count is 1 to 1000000, window_s is 1 to 86400";
            Blame::field(Refusal::FieldInvalid, field, rule)
        })
    }
}

/// Rights as grants with names.
#[must_use]
pub fn grants_of(directory: &Directory, tenant: TenantId, rights: &Rights) -> Vec<GrantView> {
    let Rights::Listed(grants) = rights else {
        return Vec::new();
    };
    let view = |grant: &jeton_core::permit::Grant| {
        let name = if grant.api == JETON_API {
            JETON_API_NAME.to_owned()
        } else {
            directory
                .api(tenant, grant.api)
                .map_or_else(|| grant.api.to_string(), |a| a.name.clone())
        };
        let catalogue = directory.catalogue(tenant, grant.api);
        let scopes = catalogue.map(|c| c.names(&grant.scopes).map(str::to_owned).collect());
        let all = grant
            .resources
            .iter()
            .any(jeton_core::resource::Pattern::is_everything);
        let resources = grant
            .resources
            .iter()
            .filter(|_| !all)
            .map(|p| p.as_str().to_owned());
        GrantView {
            api: name,
            scopes: scopes.unwrap_or_default(),
            resources: resources.collect(),
        }
    };
    grants.iter().map(view).collect()
}

/// What may be handed on, with names.
#[must_use]
pub fn give_of(directory: &Directory, tenant: TenantId, give: &Give) -> GiveView {
    GiveView {
        everything: give.rights == Rights::All,
        grants: grants_of(directory, tenant, &give.rights),
        conditions: ConditionsView::of(&give.conditions),
        lifetime_max_s: give.lifetime_max.map(Span::as_seconds),
    }
}

/// What a role or application may use and give.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitView {
    /// What it may use.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub grants: Vec<GrantView>,
    /// What it may hand on; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give: Option<GiveView>,
}

impl PermitView {
    /// As stored.
    #[must_use]
    pub fn of(directory: &Directory, tenant: TenantId, permit: &Permit) -> Self {
        Self {
            grants: grants_of(directory, tenant, &permit.use_),
            give: permit.give.as_ref().map(|g| give_of(directory, tenant, g)),
        }
    }

    /// Into a permit.
    ///
    /// # Errors
    /// A [`Blame`] on the field that is wrong.
    pub fn read(&self, directory: &Directory, tenant: TenantId) -> Result<Permit, Blame> {
        use crate::app::order;
        let use_ = order::rights(directory, tenant, &self.grants, "grants")?;
        let give = self
            .give
            .as_ref()
            .map(|g| g.read(directory, tenant))
            .transpose()?;
        Ok(Permit {
            give,
            ..Permit::to_use(use_)
        })
    }
}

/// A page of a list, and the cursor to the next.
#[derive(Serialize, JsonSchema)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// Give it back as `cursor` for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Words that the tenant keeps beside a thing: a name, and an object of its own. They can be erased.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Named {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its makers noted of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// Checks a name and metadata for their bounds.
///
/// # Errors
/// [`Refusal::FieldInvalid`] blamed on the field.
pub fn words_bounded(
    name: Option<&str>,
    metadata: Option<&serde_json::Value>,
) -> Result<(), Blame> {
    if name.is_some_and(|n| n.len() > 200 || n.chars().any(char::is_control)) {
        let rule = "at most 200 bytes, without control characters";
        return Err(Blame::field(Refusal::FieldInvalid, "name", rule));
    }
    let Some(metadata) = metadata else {
        return Ok(());
    };
    if !metadata.is_object() || metadata.to_string().len() > 4096 {
        let rule = "an object of at most 4096 bytes";
        return Err(Blame::field(Refusal::FieldInvalid, "metadata", rule));
    }
    Ok(())
}

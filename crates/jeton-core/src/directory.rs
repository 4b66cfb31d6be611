//! Everything but the tokens: tenants, APIs, roles, subjects, policies. A value; `apply` makes the next one.
//!
//! It is persistent: a clone costs a few pointers, shares what did not change, and is what a batch is decided on. A batch
//! that fails is a clone that is dropped.

mod apply;
pub mod image;
mod log;

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use minicbor::{Decode, Encode};

pub use self::log::{Epoch, Log, LogKey};
use crate::{
    api::{Api, JETON_API, own_catalogue},
    event::Event,
    id::{ApiId, RoleId, TenantId},
    permit::Permit,
    policy::ClassPolicy,
    scope::Catalogue,
    subject::{Standing, Subject, SubjectId},
    time::{Span, Time},
    token::text::{Class, Prefix},
};

/// How long a repeated request is recognised.
pub const REQUEST_MEMORY: Span = Span::DAY;

/// What the rules know of one tenant.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Tenant {
    /// Its name in ids.
    #[n(0)]
    pub id: TenantId,
    /// The first part of its tokens.
    #[n(1)]
    pub prefix: Prefix,
    /// Whether it takes part.
    #[n(2)]
    pub standing: Standing,
    /// Tokens issued below this ledger index were ended by an order; [`Tenant::dead_below`] knows of epochs, too.
    #[n(3)]
    pub cut_off: u64,
    /// Policies that differ from the built-in ones, by class.
    #[n(4)]
    pub policies: Vec<(Class, ClassPolicy)>,
    /// How many events it has had: the last `tenant_seq` of the ledger.
    #[n(5)]
    pub events: u64,
    /// The ledger index of the last event that carried its name.
    #[n(6)]
    pub named_at: Option<u64>,
    /// The epoch after the first in which it got an admin.
    #[n(7)]
    pub admitted_in: Option<u32>,
    /// The ledger index at which an epoch has begun since the tenant exists: everything issued below is dead.
    #[n(8)]
    pub epoch_from: Option<u64>,
}

impl Tenant {
    /// The policy of a class.
    #[must_use]
    pub fn policy(&self, class: Class) -> ClassPolicy {
        let own = self.policies.iter().find(|(c, _)| *c == class);
        own.map_or_else(|| ClassPolicy::built_in(class), |(_, p)| *p)
    }

    /// Tokens issued below this ledger index are dead.
    #[must_use]
    pub fn dead_below(&self) -> u64 {
        self.cut_off.max(self.epoch_from.unwrap_or(0))
    }

    /// As rows hold it: without what events about something else change, which change no row of the tenant.
    fn as_row(&self) -> Self {
        Self {
            events: 0,
            admitted_in: None,
            epoch_from: None,
            ..self.clone()
        }
    }
}

/// A named set of rights.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Role {
    /// Its name in ids.
    #[n(0)]
    pub id: RoleId,
    /// Whose it is.
    #[n(1)]
    pub tenant: TenantId,
    /// Its short name within the tenant.
    #[n(2)]
    pub name: String,
    /// What its users may use and give.
    #[n(3)]
    pub permit: Permit,
    /// A deleted role gives nothing.
    #[n(4)]
    pub deleted: bool,
}

/// A request that was carried out, by its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Remembered {
    /// The digest of its body.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub body: [u8; 16],
    /// When.
    #[n(1)]
    pub at: Time,
    /// The ledger index of its first event.
    #[n(2)]
    pub index: u64,
    /// The raw id of what it was about.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub about: [u8; 16],
}

/// An event that does not fit the state it is applied to: the ledger was not written by these rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inapplicable(pub &'static str);

impl core::fmt::Display for Inapplicable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the event does not fit the state before it: {}", self.0)
    }
}
impl core::error::Error for Inapplicable {}

/// The state of everything but the tokens.
#[derive(Clone, Default)]
pub struct Directory {
    size: u64,
    system: Option<TenantId>,
    log: Arc<Log>,
    tenants: Vector<Arc<Tenant>>,
    apis: Vector<Arc<Api>>,
    roles: Vector<Arc<Role>>,
    subjects: Vector<Arc<Subject>>,
    tenant_slots: OrdMap<TenantId, u32>,
    prefix_slots: OrdMap<Prefix, u32>,
    api_slots: OrdMap<ApiId, u32>,
    api_names: OrdMap<(TenantId, Arc<str>), u32>,
    hosts: OrdMap<Arc<str>, u32>,
    role_slots: OrdMap<RoleId, u32>,
    role_names: OrdMap<(TenantId, Arc<str>), u32>,
    subject_slots: OrdMap<SubjectId, u32>,
    sequences: OrdMap<[u8; 16], u64>,
    requests: OrdMap<[u8; 16], Remembered>,
    request_order: Vector<[u8; 16]>,
}

fn slot(len: usize) -> Result<u32, Inapplicable> {
    u32::try_from(len).map_err(|_| Inapplicable("more than 2^32 things of one kind"))
}

fn at<T>(things: &Vector<Arc<T>>, slot: u32) -> Option<&Arc<T>> {
    usize::try_from(slot).ok().and_then(|s| things.get(s))
}

impl Directory {
    /// The directory before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events were applied: the version of the world.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Passes over the events below `index` that are not there to be applied: what they changed is not known, but what
    /// follows them stands at its own index. For an audit of a ledger that is not whole.
    pub fn pass_over(&mut self, index: u64) {
        self.size = self.size.max(index);
    }

    /// The tenant that runs the deployment.
    #[must_use]
    pub fn system(&self) -> Option<TenantId> {
        self.system
    }

    /// What the ledger says of itself.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// A tenant by id.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> Option<&Arc<Tenant>> {
        self.tenant_slots
            .get(&id)
            .and_then(|s| at(&self.tenants, *s))
    }

    /// A tenant by the prefix of its tokens.
    #[must_use]
    pub fn tenant_of_prefix(&self, prefix: Prefix) -> Option<&Arc<Tenant>> {
        self.prefix_slots
            .get(&prefix)
            .and_then(|s| at(&self.tenants, *s))
    }

    /// All tenants, oldest first.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.iter()
    }

    /// An API of a tenant, by id.
    #[must_use]
    pub fn api(&self, tenant: TenantId, id: ApiId) -> Option<&Arc<Api>> {
        let api = self.api_slots.get(&id).and_then(|s| at(&self.apis, *s));
        api.filter(|a| a.tenant == tenant)
    }

    /// An API of a tenant, by short name.
    #[must_use]
    pub fn api_named(&self, tenant: TenantId, name: &str) -> Option<&Arc<Api>> {
        self.api_names
            .get(&(tenant, Arc::from(name)))
            .and_then(|s| at(&self.apis, *s))
    }

    /// The API whose routes serve a host.
    #[must_use]
    pub fn api_of_host(&self, host: &str) -> Option<&Arc<Api>> {
        self.hosts.get(host).and_then(|s| at(&self.apis, *s))
    }

    /// The APIs of a tenant, oldest first.
    pub fn apis(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Api>> {
        self.apis.iter().filter(move |a| a.tenant == tenant)
    }

    /// The catalogue of an API that the tenant can name, jeton's own among them.
    #[must_use]
    pub fn catalogue(&self, tenant: TenantId, api: ApiId) -> Option<&Catalogue> {
        if api == JETON_API {
            return Some(own_catalogue());
        }
        self.api(tenant, api).map(|a| &a.catalogue)
    }

    /// A role of a tenant, by id, unless deleted.
    #[must_use]
    pub fn role(&self, tenant: TenantId, id: RoleId) -> Option<&Arc<Role>> {
        let role = self.role_slots.get(&id).and_then(|s| at(&self.roles, *s));
        role.filter(|r| r.tenant == tenant && !r.deleted)
    }

    /// A role of a tenant, by short name.
    #[must_use]
    pub fn role_named(&self, tenant: TenantId, name: &str) -> Option<&Arc<Role>> {
        self.role_names
            .get(&(tenant, Arc::from(name)))
            .and_then(|s| at(&self.roles, *s))
    }

    /// The roles of a tenant that are not deleted, oldest first.
    pub fn roles(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Role>> {
        self.roles
            .iter()
            .filter(move |r| r.tenant == tenant && !r.deleted)
    }

    /// A role by its slot, as subjects name it.
    #[must_use]
    pub fn role_at(&self, slot: u32) -> Option<&Arc<Role>> {
        at(&self.roles, slot)
    }

    /// A subject of a tenant, by id, deleted ones included.
    #[must_use]
    pub fn subject(&self, tenant: TenantId, id: SubjectId) -> Option<&Arc<Subject>> {
        let subject = self
            .subject_slots
            .get(&id)
            .and_then(|s| at(&self.subjects, *s));
        subject.filter(|s| s.tenant == tenant)
    }

    /// The slot of a subject: what an index record holds in place of its id.
    #[must_use]
    pub fn subject_slot(&self, id: SubjectId) -> Option<u32> {
        self.subject_slots.get(&id).copied()
    }

    /// A subject by its slot.
    #[must_use]
    pub fn subject_at(&self, slot: u32) -> Option<&Arc<Subject>> {
        at(&self.subjects, slot)
    }

    /// How many subjects there are, of all tenants: slots are below this.
    #[must_use]
    pub fn subjects_len(&self) -> usize {
        self.subjects.len()
    }

    /// The slot of a tenant.
    #[must_use]
    pub fn tenant_slot(&self, id: TenantId) -> Option<u32> {
        self.tenant_slots.get(&id).copied()
    }

    /// A tenant by its slot.
    #[must_use]
    pub fn tenant_at(&self, slot: u32) -> Option<&Arc<Tenant>> {
        at(&self.tenants, slot)
    }

    /// The subjects of a tenant in the order of their ids, after `after`.
    pub fn subjects_after(
        &self,
        tenant: TenantId,
        after: Option<SubjectId>,
    ) -> impl Iterator<Item = &Arc<Subject>> {
        use core::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let slots = self.subject_slots.range((from, Bound::Unbounded));
        slots
            .filter_map(|(_, s)| at(&self.subjects, *s))
            .filter(move |s| s.tenant == tenant)
    }

    /// How many events a tenant has had: the genesis counts for the system tenant that it founds.
    #[must_use]
    pub fn tenant_events(&self, id: TenantId) -> u64 {
        self.tenant(id)
            .map_or_else(|| u64::from(self.system == Some(id)), |t| t.events)
    }

    /// How many events a thing other than a token has had.
    #[must_use]
    pub fn sequence(&self, about: &[u8; 16]) -> u64 {
        self.sequences.get(about).copied().unwrap_or(0)
    }

    /// A request carried out within the last 24 hours, by its key.
    #[must_use]
    pub fn remembered(&self, key: &[u8; 16]) -> Option<&Remembered> {
        self.requests.get(key)
    }

    /// Every thing's canonical bytes with its kind and raw id: what rows are compared with.
    pub fn entities(&self) -> impl Iterator<Item = Entity> + '_ {
        let tenants = self
            .tenants
            .iter()
            .map(|t| Entity::of("tenant", *t.id.bytes(), t.id, &t.as_row()));
        let apis = self
            .apis
            .iter()
            .map(|a| Entity::of("api", *a.id.bytes(), a.tenant, &**a));
        let roles = self
            .roles
            .iter()
            .map(|r| Entity::of("role", *r.id.bytes(), r.tenant, &**r));
        let subjects = self
            .subjects
            .iter()
            .map(|s| Entity::of(s.id.kind(), *s.id.bytes(), s.tenant, &**s));
        tenants.chain(apis).chain(roles).chain(subjects)
    }

    /// The thing that an event has just changed, if it is not a token.
    #[must_use]
    pub fn entity(&self, tenant: TenantId, event: &Event) -> Option<Entity> {
        // What is erased of the operator in another tenant changes no row there.
        self.thing(&event.about(tenant))
            .filter(|thing| thing.tenant == tenant)
    }

    /// The thing with a raw id, if it is not a token.
    #[must_use]
    pub fn thing(&self, about: &[u8; 16]) -> Option<Entity> {
        let api = self
            .api_slots
            .get(&ApiId::from_bytes(*about))
            .and_then(|s| at(&self.apis, *s));
        if let Some(api) = api {
            return Some(Entity::of("api", *about, api.tenant, &**api));
        }
        let role = self
            .role_slots
            .get(&RoleId::from_bytes(*about))
            .and_then(|s| at(&self.roles, *s));
        if let Some(role) = role {
            return Some(Entity::of("role", *about, role.tenant, &**role));
        }
        let user = SubjectId::User(crate::id::UserId::from_bytes(*about));
        let app = SubjectId::App(crate::id::AppId::from_bytes(*about));
        let subject = self
            .subject_slots
            .get(&user)
            .or_else(|| self.subject_slots.get(&app));
        if let Some(subject) = subject.and_then(|s| at(&self.subjects, *s)) {
            let kind = subject.id.kind();
            return Some(Entity::of(kind, *about, subject.tenant, &**subject));
        }
        self.tenant(TenantId::from_bytes(*about))
            .map(|t| Entity::of("tenant", *about, t.id, &t.as_row()))
    }
}

/// One thing in the form that rows hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entity {
    /// `tenant`, `api`, `role`, `user` or `application`.
    pub kind: &'static str,
    /// Its raw id.
    pub id: [u8; 16],
    /// Whose it is.
    pub tenant: TenantId,
    /// Its canonical bytes.
    pub body: Vec<u8>,
}

impl Entity {
    fn of(kind: &'static str, id: [u8; 16], tenant: TenantId, body: &impl Encode<()>) -> Self {
        let mut bytes = Vec::new();
        // Encoding into a vector has no way to fail.
        let encoded = minicbor::encode(body, &mut bytes);
        debug_assert!(encoded.is_ok(), "encoding into memory");
        Self {
            kind,
            id,
            tenant,
            body: bytes,
        }
    }
}

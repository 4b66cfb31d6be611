//! Everything but the tokens: tenants, APIs, roles, subjects, policies. A value; `apply` makes the next one.
//!
//! It is persistent: a clone costs a few pointers, shares what did not change, and is what a batch is decided on. A batch
//! that fails is a clone that is dropped.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use minicbor::{Decode, Encode};

use crate::{
    api::{Api, JETON_API, own_catalogue},
    event::{Event, Record},
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
    /// Tokens issued below this ledger index are dead.
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
}

impl Tenant {
    /// The policy of a class.
    #[must_use]
    pub fn policy(&self, class: Class) -> ClassPolicy {
        let own = self.policies.iter().find(|(c, _)| *c == class);
        own.map_or_else(|| ClassPolicy::built_in(class), |(_, p)| *p)
    }

    /// As rows hold it: an event of the tenant's tokens changes the count, and no row of the tenant.
    fn without_count(&self) -> Self {
        Self {
            events: 0,
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

    /// The tenant that runs the deployment.
    #[must_use]
    pub fn system(&self) -> Option<TenantId> {
        self.system
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
            .map(|t| Entity::of("tenant", *t.id.bytes(), t.id, &t.without_count()));
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
        let about = event.about(tenant);
        let api = self
            .api_slots
            .get(&ApiId::from_bytes(about))
            .and_then(|s| at(&self.apis, *s));
        if let Some(api) = api {
            return Some(Entity::of("api", about, tenant, &**api));
        }
        let role = self
            .role_slots
            .get(&RoleId::from_bytes(about))
            .and_then(|s| at(&self.roles, *s));
        if let Some(role) = role {
            return Some(Entity::of("role", about, tenant, &**role));
        }
        let user = SubjectId::User(crate::id::UserId::from_bytes(about));
        let app = SubjectId::App(crate::id::AppId::from_bytes(about));
        let subject = self
            .subject_slots
            .get(&user)
            .or_else(|| self.subject_slots.get(&app));
        if let Some(subject) = subject.and_then(|s| at(&self.subjects, *s)) {
            return Some(Entity::of(subject.id.kind(), about, tenant, &**subject));
        }
        self.tenant(TenantId::from_bytes(about))
            .map(|t| Entity::of("tenant", about, tenant, &t.without_count()))
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

// Apply: how each event changes the directory.
impl Directory {
    /// Applies the next event, at ledger index `index`. The same function serves the writer, replay and edges.
    ///
    /// # Errors
    /// [`Inapplicable`]: the ledger was not written by these rules; nothing that follows can be believed.
    pub fn apply(&mut self, index: u64, record: &Record) -> Result<(), Inapplicable> {
        if index != self.size {
            return Err(Inapplicable("its index is not the next one"));
        }
        self.change(record)?;
        self.size = index + 1;
        self.remember(index, record);
        let about = record.event.about(record.tenant);
        if record.event.token().is_none() {
            let next = self.sequence(&about) + 1;
            self.sequences.insert(about, next);
        }
        self.with_tenant(record.tenant, |t| t.events += 1)?;
        let names = matches!(
            record.event,
            Event::UserCreated { .. } | Event::AppCreated { .. } | Event::Renamed { .. }
        );
        if names && record.aside.is_some() {
            self.note_name(&about, index);
        }
        Ok(())
    }

    fn change(&mut self, record: &Record) -> Result<(), Inapplicable> {
        let tenant = record.tenant;
        match &record.event {
            Event::Genesis { .. } => {
                self.system = Some(tenant);
                Ok(())
            }
            Event::TenantCreated { prefix } => self.add_tenant(tenant, *prefix),
            Event::TenantStanding { after, .. } => {
                self.with_tenant(tenant, |t| t.standing = *after)
            }
            Event::ApiDefined {
                api,
                name,
                audience,
            } => self.add_api(tenant, *api, name, audience),
            Event::CatalogueSet { api, scopes } => {
                let catalogue = Catalogue::new(scopes.clone())
                    .ok_or(Inapplicable("a catalogue names a scope twice"))?;
                self.with_api(*api, |a| a.catalogue = catalogue)
            }
            Event::RoutesSet {
                api,
                hosts,
                routes,
                query_parameter,
            } => self.set_routes(*api, hosts, routes, query_parameter.as_ref()),
            Event::RoleCreated { role, name, permit } => self.add_role(tenant, *role, name, permit),
            Event::RoleChanged { role, after, .. } => {
                self.with_role(*role, |r| r.permit = after.clone())
            }
            Event::RoleDeleted { role } => self.delete_role(tenant, *role),
            Event::UserCreated { user, roles } => {
                let roles = self.role_slots_of(roles)?;
                self.add_subject(tenant, SubjectId::User(*user), |s| s.roles = roles)
            }
            Event::UserRolesSet { user, after, .. } => {
                let roles = self.role_slots_of(after)?;
                self.with_subject(SubjectId::User(*user), |s| s.roles = roles)
            }
            Event::AppCreated {
                app,
                sponsor,
                permit,
            } => self.add_subject(tenant, SubjectId::App(*app), |s| {
                s.permit = Some(permit.clone());
                s.sponsor = *sponsor;
            }),
            Event::AppChanged { app, after, .. } => self.with_subject(SubjectId::App(*app), |s| {
                s.permit = Some(after.0.clone());
                s.sponsor = after.1;
            }),
            Event::SubjectStanding { subject, after, .. } => {
                self.with_subject(*subject, |s| s.standing = *after)
            }
            Event::PolicySet { class, after, .. } => self.with_tenant(tenant, |t| {
                t.policies.retain(|(c, _)| c != class);
                t.policies.push((*class, *after));
                t.policies.sort_by_key(|(c, _)| *c);
            }),
            Event::CutOff {
                subject: Some(subject),
                below,
                ..
            } => self.with_subject(*subject, |s| s.cut_off = s.cut_off.max(*below)),
            Event::CutOff {
                subject: None,
                below,
                ..
            } => self.with_tenant(tenant, |t| t.cut_off = t.cut_off.max(*below)),
            Event::TokenIssued { subject, .. } => self
                .subject(tenant, *subject)
                .map(drop)
                .ok_or(Inapplicable("a token without owner")),
            Event::TokenChanged { .. }
            | Event::TokenSuspended { .. }
            | Event::TokenResumed { .. }
            | Event::TokenRotated { .. }
            | Event::TokenRevoked { .. }
            | Event::TokenRehashed { .. }
            | Event::PepperRotated { .. }
            | Event::PepperRetired { .. }
            | Event::Renamed { .. } => Ok(()),
        }
    }

    fn add_tenant(&mut self, id: TenantId, prefix: Prefix) -> Result<(), Inapplicable> {
        let slot = slot(self.tenants.len())?;
        let taken = self.tenant_slots.insert(id, slot).is_some()
            || self.prefix_slots.insert(prefix, slot).is_some();
        if taken {
            return Err(Inapplicable("a tenant's id or prefix is taken"));
        }
        self.tenants.push_back(Arc::new(Tenant {
            id,
            prefix,
            standing: Standing::Active,
            cut_off: 0,
            policies: Vec::new(),
            // The genesis stands before the tenant that it founds.
            events: u64::from(self.system == Some(id)),
            named_at: None,
        }));
        Ok(())
    }

    fn add_api(
        &mut self,
        tenant: TenantId,
        id: ApiId,
        name: &str,
        audience: &str,
    ) -> Result<(), Inapplicable> {
        let slot = slot(self.apis.len())?;
        let taken = self.api_slots.insert(id, slot).is_some()
            || self
                .api_names
                .insert((tenant, Arc::from(name)), slot)
                .is_some();
        if taken {
            return Err(Inapplicable("an API's id or name is taken"));
        }
        self.apis.push_back(Arc::new(Api {
            id,
            tenant,
            name: name.to_owned(),
            audience: audience.to_owned(),
            catalogue: Catalogue::default(),
            hosts: Vec::new(),
            routes: Vec::new(),
            query_parameter: None,
        }));
        Ok(())
    }

    fn set_routes(
        &mut self,
        id: ApiId,
        hosts: &[String],
        routes: &[crate::api::Route],
        query_parameter: Option<&String>,
    ) -> Result<(), Inapplicable> {
        let slot = *self.api_slots.get(&id).ok_or(Inapplicable("no such API"))?;
        let old = at(&self.apis, slot)
            .map(|a| a.hosts.clone())
            .unwrap_or_default();
        for host in &old {
            self.hosts.remove(host.as_str());
        }
        for host in hosts {
            if self.hosts.insert(Arc::from(host.as_str()), slot).is_some() {
                return Err(Inapplicable("a host is served by another API"));
            }
        }
        self.with_api(id, |a| {
            a.hosts = hosts.to_vec();
            a.routes = routes.to_vec();
            a.query_parameter = query_parameter.cloned();
        })
    }

    fn add_role(
        &mut self,
        tenant: TenantId,
        id: RoleId,
        name: &str,
        permit: &Permit,
    ) -> Result<(), Inapplicable> {
        let slot = slot(self.roles.len())?;
        let taken = self.role_slots.insert(id, slot).is_some()
            || self
                .role_names
                .insert((tenant, Arc::from(name)), slot)
                .is_some();
        if taken {
            return Err(Inapplicable("a role's id or name is taken"));
        }
        let (name, permit) = (name.to_owned(), permit.clone());
        self.roles.push_back(Arc::new(Role {
            id,
            tenant,
            name,
            permit,
            deleted: false,
        }));
        Ok(())
    }

    fn delete_role(&mut self, tenant: TenantId, id: RoleId) -> Result<(), Inapplicable> {
        let name = self
            .role(tenant, id)
            .map(|r| r.name.clone())
            .ok_or(Inapplicable("no such role"))?;
        self.role_names.remove(&(tenant, Arc::from(name)));
        self.with_role(id, |r| r.deleted = true)
    }

    fn add_subject(
        &mut self,
        tenant: TenantId,
        id: SubjectId,
        fill: impl FnOnce(&mut Subject),
    ) -> Result<(), Inapplicable> {
        let slot = slot(self.subjects.len())?;
        if self.subject_slots.insert(id, slot).is_some() {
            return Err(Inapplicable("a subject's id is taken"));
        }
        let mut subject = Subject {
            id,
            tenant,
            standing: Standing::Active,
            cut_off: 0,
            roles: Vec::new(),
            permit: None,
            sponsor: None,
            named_at: None,
        };
        fill(&mut subject);
        self.subjects.push_back(Arc::new(subject));
        Ok(())
    }

    fn role_slots_of(&self, roles: &[RoleId]) -> Result<Vec<u32>, Inapplicable> {
        let slots: Option<Vec<u32>> = roles
            .iter()
            .map(|r| self.role_slots.get(r).copied())
            .collect();
        let mut slots = slots.ok_or(Inapplicable("no such role"))?;
        slots.sort_unstable();
        slots.dedup();
        Ok(slots)
    }

    fn with_tenant(
        &mut self,
        id: TenantId,
        change: impl FnOnce(&mut Tenant),
    ) -> Result<(), Inapplicable> {
        match self.tenant_slots.get(&id) {
            None if self.system == Some(id) => Ok(()),
            slot => edit(&mut self.tenants, slot.copied(), change),
        }
    }

    fn with_api(&mut self, id: ApiId, change: impl FnOnce(&mut Api)) -> Result<(), Inapplicable> {
        edit(&mut self.apis, self.api_slots.get(&id).copied(), change)
    }

    fn with_role(
        &mut self,
        id: RoleId,
        change: impl FnOnce(&mut Role),
    ) -> Result<(), Inapplicable> {
        edit(&mut self.roles, self.role_slots.get(&id).copied(), change)
    }

    fn with_subject(
        &mut self,
        id: SubjectId,
        change: impl FnOnce(&mut Subject),
    ) -> Result<(), Inapplicable> {
        edit(
            &mut self.subjects,
            self.subject_slots.get(&id).copied(),
            change,
        )
    }

    fn note_name(&mut self, about: &[u8; 16], index: u64) {
        let user = SubjectId::User(crate::id::UserId::from_bytes(*about));
        let app = SubjectId::App(crate::id::AppId::from_bytes(*about));
        let subject = self
            .subject_slots
            .get(&user)
            .or_else(|| self.subject_slots.get(&app))
            .copied();
        if subject.is_some() {
            let noted = edit(&mut self.subjects, subject, |s| s.named_at = Some(index));
            debug_assert!(noted.is_ok(), "the slot was just found");
        }
    }

    fn remember(&mut self, index: u64, record: &Record) {
        let Some(request) = record.request else {
            return;
        };
        let about = record.event.about(record.tenant);
        if !self.requests.contains_key(&request.key) {
            let fresh = Remembered {
                body: request.body,
                at: record.at,
                index,
                about,
            };
            self.requests.insert(request.key, fresh);
            self.request_order.push_back(request.key);
        }
        while let Some(oldest) = self.request_order.front() {
            let stale = self
                .requests
                .get(oldest)
                .is_none_or(|r| r.at.after(REQUEST_MEMORY) <= record.at);
            if !stale {
                break;
            }
            let key = *oldest;
            self.requests.remove(&key);
            self.request_order.pop_front();
        }
    }
}

fn edit<T: Clone>(
    things: &mut Vector<Arc<T>>,
    slot: Option<u32>,
    change: impl FnOnce(&mut T),
) -> Result<(), Inapplicable> {
    let thing = slot
        .and_then(|s| usize::try_from(s).ok())
        .and_then(|s| things.get_mut(s));
    change(Arc::make_mut(thing.ok_or(Inapplicable("no such thing"))?));
    Ok(())
}

/// A directory at rest, for a snapshot.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Image {
    #[n(0)]
    size: u64,
    #[n(1)]
    system: Option<TenantId>,
    #[n(2)]
    tenants: Vec<Tenant>,
    #[n(3)]
    apis: Vec<Api>,
    #[n(4)]
    roles: Vec<Role>,
    #[n(5)]
    subjects: Vec<Subject>,
    #[n(6)]
    sequences: Vec<(Key, u64)>,
    #[n(7)]
    requests: Vec<(Key, Remembered)>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Key(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl Directory {
    /// The directory at rest.
    #[must_use]
    pub fn image(&self) -> Image {
        let requests = self
            .request_order
            .iter()
            .filter_map(|k| self.requests.get(k).map(|r| (Key(*k), *r)));
        Image {
            size: self.size,
            system: self.system,
            tenants: self.tenants.iter().map(|t| Tenant::clone(t)).collect(),
            apis: self.apis.iter().map(|a| Api::clone(a)).collect(),
            roles: self.roles.iter().map(|r| Role::clone(r)).collect(),
            subjects: self.subjects.iter().map(|s| Subject::clone(s)).collect(),
            sequences: self.sequences.iter().map(|(k, n)| (Key(*k), *n)).collect(),
            requests: requests.collect(),
        }
    }

    /// The directory that an image shows.
    ///
    /// # Errors
    /// [`Inapplicable`] if it shows more things than slots can name.
    pub fn from_image(image: Image) -> Result<Self, Inapplicable> {
        let mut out = Self {
            size: image.size,
            system: image.system,
            ..Self::default()
        };
        for (n, tenant) in image.tenants.into_iter().enumerate() {
            out.tenant_slots.insert(tenant.id, slot(n)?);
            out.prefix_slots.insert(tenant.prefix, slot(n)?);
            out.tenants.push_back(Arc::new(tenant));
        }
        for (n, api) in image.apis.into_iter().enumerate() {
            out.api_slots.insert(api.id, slot(n)?);
            out.api_names
                .insert((api.tenant, Arc::from(api.name.as_str())), slot(n)?);
            for host in &api.hosts {
                out.hosts.insert(Arc::from(host.as_str()), slot(n)?);
            }
            out.apis.push_back(Arc::new(api));
        }
        for (n, role) in image.roles.into_iter().enumerate() {
            out.role_slots.insert(role.id, slot(n)?);
            if !role.deleted {
                out.role_names
                    .insert((role.tenant, Arc::from(role.name.as_str())), slot(n)?);
            }
            out.roles.push_back(Arc::new(role));
        }
        for (n, subject) in image.subjects.into_iter().enumerate() {
            out.subject_slots.insert(subject.id, slot(n)?);
            out.subjects.push_back(Arc::new(subject));
        }
        out.sequences
            .extend(image.sequences.into_iter().map(|(Key(k), n)| (k, n)));
        for (Key(key), request) in image.requests {
            out.requests.insert(key, request);
            out.request_order.push_back(key);
        }
        Ok(out)
    }
}

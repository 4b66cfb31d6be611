//! How each event changes the directory.

use std::sync::Arc;

use imbl::Vector;

use super::{Directory, Inapplicable, REQUEST_MEMORY, Remembered, Role, Tenant, at, slot};
use crate::{
    api::Api,
    event::{Actor, Event, LogEvent, Record},
    id::{ApiId, RoleId, TenantId, UserId},
    permit::Permit,
    scope::Catalogue,
    subject::{Standing, Subject, SubjectId},
    time::Time,
    token::text::Prefix,
};

impl Directory {
    /// Applies the next event, at ledger index `index`. The same function serves the writer, replay and edges.
    ///
    /// # Errors
    /// [`Inapplicable`]: the ledger was not written by these rules; nothing that follows can be believed.
    pub fn apply(&mut self, index: u64, record: &Record) -> Result<(), Inapplicable> {
        if index != self.size {
            return Err(Inapplicable("its index is not the next one"));
        }
        self.change(index, record)?;
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

    fn change(&mut self, index: u64, record: &Record) -> Result<(), Inapplicable> {
        let tenant = record.tenant;
        match &record.event {
            Event::Genesis { origin, log_key } => {
                self.system = Some(tenant);
                Arc::make_mut(&mut self.log).begin(origin, *log_key);
                Ok(())
            }
            Event::Ledger(event) => self.change_log(index, tenant, event),
            Event::Erased(erasure) => erasure
                .is_sound(index)
                .then_some(())
                .ok_or(Inapplicable("an erasure names what it cannot")),
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
            } => {
                self.add_subject(tenant, SubjectId::App(*app), |s| {
                    s.permit = Some(permit.clone());
                    s.sponsor = *sponsor;
                })?;
                self.note_admin(tenant, record.actor, *sponsor)
            }
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

    /// An application without sponsor is a tenant's first, or the first of an epoch.
    fn note_admin(
        &mut self,
        tenant: TenantId,
        actor: Actor,
        sponsor: Option<UserId>,
    ) -> Result<(), Inapplicable> {
        let epoch = self.log.epoch();
        if actor == Actor::Setup && self.system == Some(tenant) {
            Arc::make_mut(&mut self.log).operated_in = epoch;
        }
        if sponsor.is_none() && epoch > 1 {
            return self.with_tenant(tenant, |t| t.admitted_in = Some(epoch));
        }
        Ok(())
    }

    fn change_log(
        &mut self,
        index: u64,
        tenant: TenantId,
        event: &LogEvent,
    ) -> Result<(), Inapplicable> {
        if self.system != Some(tenant) {
            return Err(Inapplicable("only the system tenant changes the ledger"));
        }
        Arc::make_mut(&mut self.log).change(index, event)?;
        if matches!(event, LogEvent::EpochBegan { .. }) {
            // What was revoked in the lost part is not known: nothing from before it authenticates.
            for slot in 0..slot(self.tenants.len())? {
                edit(&mut self.tenants, Some(slot), |t| {
                    t.epoch_from = Some(index);
                })?;
            }
        }
        Ok(())
    }

    /// Counts an event of a tenant whose opening was erased: all that is known of it is that it was.
    ///
    /// # Errors
    /// [`Inapplicable`]: its index is not the next one, or there is no such tenant.
    pub fn skip(&mut self, index: u64, tenant: TenantId) -> Result<(), Inapplicable> {
        if index != self.size {
            return Err(Inapplicable("its index is not the next one"));
        }
        self.with_tenant(tenant, |t| t.events += 1)?;
        self.size = index + 1;
        Ok(())
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
            admitted_in: None,
            epoch_from: None,
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

    /// Remembers a request, and forgets those that are too old: whatever the event is, so that none outlives the opening that told
    /// of it.
    fn remember(&mut self, index: u64, record: &Record) {
        self.forget_requests(record.at);
        let Some(request) = record.request else {
            return;
        };
        if self.requests.contains_key(&request.key) {
            return;
        }
        let fresh = Remembered {
            body: request.body,
            at: record.at,
            index,
            about: record.event.about(record.tenant),
        };
        self.requests.insert(request.key, fresh);
        self.request_order.push_back(request.key);
    }

    fn forget_requests(&mut self, now: Time) {
        while let Some(oldest) = self.request_order.front() {
            let stale = self
                .requests
                .get(oldest)
                .is_none_or(|r| r.at.after(REQUEST_MEMORY) <= now);
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

//! Users and applications.

use axum::routing::{get, patch, post, put};

use super::{Operation as O, Row, row};
use crate::http::{
    apps, caller,
    cursor::PageQuery,
    erase,
    users::{self, RolesOrder, StandingOrder, UserOrder, UserView},
    view::Page,
};

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            O::new("post", "/v1/users", "createUser", "Register a user.")
                .needs::<caller::SubjectsWrite>()
                .takes::<UserOrder>()
                .gives::<UserView>(201),
            post(users::create),
        ),
        row(
            O::new("get", "/v1/users", "listUsers", "List users.")
                .needs::<caller::SubjectsRead>()
                .asks::<PageQuery>()
                .gives::<Page<UserView>>(200),
            get(users::list),
        ),
        row(
            O::new("get", "/v1/users/{id}", "getUser", "Show a user.")
                .needs::<caller::SubjectsRead>()
                .gives::<UserView>(200),
            get(users::get),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/roles",
                "setUserRoles",
                "Set a user's roles.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<RolesOrder>()
            .gives::<UserView>(200),
            put(users::set_roles),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/state",
                "setUserState",
                "Suspend, resume or delete a user.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<StandingOrder>()
            .gives::<UserView>(200)
            .conflicts(),
            put(users::set_standing),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/words",
                "setUserWords",
                "Replace the name and notes beside a user: they can be erased.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<users::WordsOrder>()
            .gives::<UserView>(200),
            put(users::set_words),
        ),
        row(
            O::new(
                "post",
                "/v1/users/{id}/erase",
                "eraseUser",
                "Erase the words beside a deleted user: names, notes, addresses.",
            )
            .needs::<caller::SubjectsWrite>()
            .gives::<erase::ErasedView>(200)
            .conflicts(),
            post(erase::user),
        ),
        row(
            O::new("post", "/v1/apps", "createApp", "Register an application.")
                .needs::<caller::SubjectsWrite>()
                .takes::<apps::AppOrder>()
                .gives::<apps::AppView>(201),
            post(apps::create),
        ),
        row(
            O::new("get", "/v1/apps", "listApps", "List applications.")
                .needs::<caller::SubjectsRead>()
                .asks::<PageQuery>()
                .gives::<Page<apps::AppView>>(200),
            get(apps::list),
        ),
        row(
            O::new("get", "/v1/apps/{id}", "getApp", "Show an application.")
                .needs::<caller::SubjectsRead>()
                .gives::<apps::AppView>(200),
            get(apps::get),
        ),
        row(
            O::new(
                "patch",
                "/v1/apps/{id}",
                "changeApp",
                "Change an application's rights or sponsor.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<apps::AppChange>()
            .gives::<apps::AppView>(200),
            patch(apps::patch),
        ),
        row(
            O::new(
                "put",
                "/v1/apps/{id}/state",
                "setAppState",
                "Suspend, resume or delete an application.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<StandingOrder>()
            .gives::<apps::AppView>(200)
            .conflicts(),
            put(apps::set_standing),
        ),
        row(
            O::new(
                "put",
                "/v1/apps/{id}/words",
                "setAppWords",
                "Replace the name and notes beside an application: they can be erased.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<users::WordsOrder>()
            .gives::<apps::AppView>(200),
            put(apps::set_words),
        ),
        row(
            O::new(
                "post",
                "/v1/apps/{id}/erase",
                "eraseApp",
                "Erase the words beside a deleted application: names, notes, addresses.",
            )
            .needs::<caller::SubjectsWrite>()
            .gives::<erase::ErasedView>(200)
            .conflicts(),
            post(erase::app),
        ),
    ]
}

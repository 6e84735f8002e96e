//! Lets only those through to a route who have its permission, and says so in the documentation of that
//! route: one call does both, so they cannot differ.

use crate::app::AppState;
use crate::auth::caller::{Caller, Via};
use crate::auth::cookies;
use crate::auth::credentials::{NotLetIn, authenticate};
use crate::auth::permissions::Permission;
use crate::auth::refusals::{Target, outsider_did, refuse};
use crate::error::ApiError;
use crate::extract::origin::Origin;
use crate::openapi::refusals::{Refusal, demand};
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use diagflow_store::{Action, ObjectKind};
use utoipa_axum::router::UtoipaMethodRouter;

/// Routes that ask for `permission`.
pub(crate) fn guarded(
    state: &AppState,
    permission: Permission,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    demand(
        &mut paths,
        permission.name(),
        &[Refusal::NotSignedIn, Refusal::Forbidden, Refusal::TooManyRefused, Refusal::Unavailable],
    );
    let guard = from_fn_with_state((state.clone(), permission), authorise);
    (schemas, paths, router.route_layer(guard))
}

async fn authorise(
    State((state, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&state, permission, &mut request).await {
        Ok(caller) => renewed(&state, &caller, next.run(request).await),
        Err(refusal) => refusal.into_response(),
    }
}

/// Who calls, where that need not be anybody. What is brought along and is not good is refused, and
/// written down, rather than ignored.
pub(crate) async fn recognise(
    state: &AppState,
    target: &Target,
    headers: &HeaderMap,
    origin: Origin,
) -> Result<Option<Caller>, ApiError> {
    match authenticate(state, target.method(), headers, origin.clone()).await {
        Ok(caller) => Ok(caller),
        Err(outsider) => Err(turned_away(state, target, &origin, outsider).await),
    }
}

/// Finds the caller and puts it into the request, or refuses and writes that down.
async fn admit(
    state: &AppState,
    permission: Permission,
    request: &mut Request,
) -> Result<Caller, ApiError> {
    let headers = request.headers().clone();
    let proxies = state.app.settings.trusted_proxies;
    let origin = Origin::of(&headers, request.extensions(), proxies);
    let target = Target::of(request);
    let outsider = match authenticate(state, target.method(), &headers, origin.clone()).await {
        Ok(Some(caller)) if caller.may(permission) => {
            request.extensions_mut().insert(caller.clone());
            return Ok(caller);
        }
        Ok(Some(caller)) => {
            let line = caller.did(Action::Access, ObjectKind::Service, "");
            let line = target.on(state, line).await.refused(ApiError::Forbidden.code());
            state.app.store.audit(&line).await?;
            return Err(ApiError::Forbidden);
        }
        Ok(None) => ApiError::SignInRequired.into(),
        Err(outsider) => outsider,
    };
    Err(turned_away(state, &target, &origin, outsider).await)
}

/// What somebody is told who is not let in.
async fn turned_away(
    state: &AppState,
    target: &Target,
    origin: &Origin,
    outsider: NotLetIn,
) -> ApiError {
    if !outsider.refusal.is_of_the_caller() {
        return outsider.refusal;
    }
    let line = outsider_did(state, origin, &outsider, Action::Access);
    let line = target.on(state, line).await;
    refuse(state, origin, line, outsider.refusal).await
}

/// A page's access token is renewed while it is in use: past half its life, the answer brings another one,
/// unless it says something about that cookie itself.
fn renewed(state: &AppState, caller: &Caller, mut response: Response) -> Response {
    let (Some(brought), Via::Session(session)) = (caller.brought, caller.via) else {
        return response;
    };
    let half_way = brought.issued + (brought.expires - brought.issued) / 2;
    let headers = response.headers_mut();
    let settings = &state.app.settings;
    let start = format!("{}=", cookies::SESSION.full_name(settings));
    let told = headers
        .get_all(SET_COOKIE)
        .iter()
        .any(|cookie| cookie.as_bytes().starts_with(start.as_bytes()));
    if brought.by_cookie && !told && Utc::now().timestamp() >= half_way {
        let token = state.keys.signer.token(caller.user.id, session);
        let cookie = cookies::cookie(settings, cookies::SESSION, token);
        let value = HeaderValue::from_str(&cookie.to_string());
        headers.append(SET_COOKIE, value.expect("tokens are plain ASCII"));
    }
    response
}

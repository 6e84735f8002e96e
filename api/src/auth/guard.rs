//! Lets only those through to a route who have its permission, and says so in the documentation of that
//! route: one call does both, so they cannot differ.

use super::caller::{Caller, Via, somebody_did};
use super::credentials::{authenticate, bearer};
use super::{Permission, cookies};
use crate::app::AppState;
use crate::error::ApiError;
use crate::openapi::{self, Refusal};
use crate::origin::Origin;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Method};
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
    openapi::demand(
        &mut paths,
        permission.name(),
        &[Refusal::NotSignedIn, Refusal::Forbidden, Refusal::Unavailable],
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
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    origin: Origin,
) -> Result<Option<Caller>, ApiError> {
    let refusal = match authenticate(state, method, headers, origin.clone()).await {
        Ok(caller) => return Ok(caller),
        Err(refusal) => refusal,
    };
    if refusal.is_of_the_caller() {
        let asked = format!("{method} {path}");
        let line = somebody_did(state, &origin, "", Action::Access).with("route", asked);
        state.app.store.audit(&line.refused(refusal.code())).await?;
    }
    Err(refusal)
}

/// Finds the caller and puts it into the request, or refuses and writes that down.
async fn admit(
    state: &AppState,
    permission: Permission,
    request: &mut Request,
) -> Result<Caller, ApiError> {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let proxies = state.app.settings.trusted_proxies;
    let origin = Origin::of(&headers, request.extensions(), proxies);
    let asked = format!("{method} {}", request.uri().path());
    match authenticate(state, &method, &headers, origin.clone()).await {
        Ok(Some(caller)) if caller.may(permission) => {
            request.extensions_mut().insert(caller.clone());
            Ok(caller)
        }
        Ok(Some(caller)) => {
            let line = caller.did(Action::Access, ObjectKind::Service, "").with("route", asked);
            state.app.store.audit(&line.refused(ApiError::Forbidden.code())).await?;
            Err(ApiError::Forbidden)
        }
        // Nothing was tried: whoever brings nothing is told where the door is, without a line.
        Ok(None) => Err(ApiError::SignInRequired),
        Err(refusal) => {
            if refusal.is_of_the_caller() && presents_something(state, &headers) {
                let line = somebody_did(state, &origin, "", Action::Access).with("route", asked);
                state.app.store.audit(&line.refused(refusal.code())).await?;
            }
            Err(refusal)
        }
    }
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
        let token = state.signer.token(caller.user.id, session);
        let cookie = cookies::cookie(settings, cookies::SESSION, token);
        let value = HeaderValue::from_str(&cookie.to_string());
        headers.append(SET_COOKIE, value.expect("tokens are plain ASCII"));
    }
    response
}

fn presents_something(state: &AppState, headers: &axum::http::HeaderMap) -> bool {
    bearer(headers).is_some() || cookies::access_token(&state.app.settings, headers).is_some()
}

//! The page that a link in an e-mail opens. Mail scanners open links too, so only the button on the page uses the link:
//! it gives the browser access to the submission. If the link no longer works, the page can send a new one.

use crate::app::AppState;
use crate::auth::caller::anonymous_entry;
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use crate::extract::path_id::PathId;
use crate::extract::submission_access::page_path;
use crate::pages::context::PageContext;
use crate::pages::error::PageError;
use crate::pages::patient::access::grant_access;
use crate::pages::render::page;
use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Redirect, Response};
use chrono::Utc;
use diagflow_locales::Text;
use diagflow_store::{
    Action, EmailLinkCode, EmailLinkState, NewAuditEntry, ObjectKind, SubmissionId,
};

pub(super) const LINK_PATH: &str = "/s/{id}/open/{code}";
pub(super) const NEW_LINK_PATH: &str = "/s/{id}/open/{code}/new";

/// A link whose code was signed with our key. It may have expired or been used.
pub(super) struct SignedLink {
    submission: SubmissionId,
    code: EmailLinkCode,
    /// The code as text.
    text: String,
    client: ClientInfo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkView {
    Valid,
    Expired,
    Used,
    /// A new link was requested.
    Requested,
}

#[derive(Template)]
#[template(path = "patient/email_link.html")]
struct LinkTemplate {
    page: PageContext,
    view: LinkView,
    link_path: String,
    page_path: String,
}

impl LinkTemplate {
    fn title(&self) -> Text {
        match self.view {
            LinkView::Valid => self.page.text("submission-link-title"),
            LinkView::Expired => self.page.text("submission-link-expired-title"),
            LinkView::Used => self.page.text("submission-link-used-title"),
            LinkView::Requested => self.page.text("submission-link-requested-title"),
        }
    }

    fn offers_new_link(&self) -> bool {
        matches!(self.view, LinkView::Expired | LinkView::Used)
    }
}

impl SignedLink {
    fn path(&self) -> String {
        format!("{}/open/{}", page_path(self.submission), self.text)
    }

    fn is_expired(&self) -> bool {
        self.code.expires <= Utc::now().timestamp()
    }

    fn audit_entry(&self, state: &AppState, action: Action) -> NewAuditEntry {
        let entry = anonymous_entry(state, &self.client, "", action);
        let (object_kind, object_id) = (ObjectKind::Submission, self.submission.to_string());
        NewAuditEntry { object_kind, object_id, ..entry }.with("credential", "email_link")
    }

    fn page(&self, context: PageContext, view: LinkView) -> Response {
        let (link_path, page_path) = (self.path(), page_path(self.submission));
        page(StatusCode::OK, &LinkTemplate { page: context, view, link_path, page_path })
    }

    /// Returns what to show for a link in this state.
    fn view(&self, state: EmailLinkState) -> Result<LinkView, ApiError> {
        match state {
            EmailLinkState::Erased => Err(ApiError::Erased),
            EmailLinkState::NotFound => Err(ApiError::NotFound),
            EmailLinkState::Used => Ok(LinkView::Used),
            EmailLinkState::Unused if self.is_expired() => Ok(LinkView::Expired),
            EmailLinkState::Unused => Ok(LinkView::Valid),
        }
    }
}

impl FromRequestParts<AppState> for SignedLink {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, PageError> {
        let ids = PathId::<(SubmissionId, String)>::from_request_parts(parts, state).await;
        let link = ids.and_then(|PathId((submission, text))| {
            let code = state.keys.email_links.verify(&text).ok_or(ApiError::NotFound)?;
            let proxies = &state.app.settings.proxies;
            let client = ClientInfo::of(&parts.headers, &parts.extensions, proxies);
            Ok(SignedLink { submission, code, text, client })
        });
        link.map_err(|error| {
            PageError::in_context(error, &PageContext::of(&parts.headers, &parts.uri))
        })
    }
}

pub(super) async fn read_link(
    State(state): State<AppState>,
    context: PageContext,
    link: SignedLink,
) -> Result<Response, PageError> {
    let view = async {
        link.view(state.app.store.email_link_state(link.submission, link.code.delivery).await?)
    };
    let view = view.await.map_err(|error| PageError::in_context(error, &context))?;
    Ok(link.page(context, view))
}

pub(super) async fn open_link(
    State(state): State<AppState>,
    context: PageContext,
    link: SignedLink,
) -> Result<Response, PageError> {
    if link.is_expired() {
        return read_link(State(state), context, link).await;
    }
    let entry = link.audit_entry(&state, Action::SubmissionLinkOpen);
    let view = async {
        let (submission, delivery) = (link.submission, link.code.delivery);
        link.view(state.app.store.use_email_link(submission, delivery, &entry).await?)
    };
    match view.await.map_err(|error| PageError::in_context(error, &context))? {
        LinkView::Valid => Ok(grant_access(&state, link.submission)),
        view => Ok(link.page(context, view)),
    }
}

/// Sends a new link to the submission's address. The response is the same if no e-mail is sent.
pub(super) async fn request_new_link(
    State(state): State<AppState>,
    context: PageContext,
    link: SignedLink,
) -> Result<Redirect, PageError> {
    let entry = link.audit_entry(&state, Action::SubmissionLinkRequest);
    let (submission, delivery) = (link.submission, link.code.delivery);
    let planned = state.app.store.request_email_link(submission, delivery, &entry).await;
    if planned.map_err(|error| PageError::in_context(error.into(), &context))? {
        state.app.dispatch.wake_reconciler();
    }
    Ok(Redirect::to(&format!("{}/new", link.path())))
}

pub(super) async fn confirm_new_link(context: PageContext, link: SignedLink) -> Response {
    link.page(context, LinkView::Requested)
}

//! Enums whose values are serialized by name. Each enum's schema lists its variant names, so the OpenAPI document
//! cannot diverge from the code.

use crate::auth::permissions::Permission;
use crate::error::ErrorCode;
use diagflow_store::{
    Action, ActorKind, BreakerState, DeliveryKind, DeliveryStatus, EmailState, EventName,
    FailureCode, ObjectKind, PauseTarget, Role, Status, Step,
};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{self, Display};
use strum::VariantNames;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// An enum value that is serialized by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<E>(E);

pub(crate) trait NamedEnum: VariantNames + Display {
    const SCHEMA: &'static str;
    const DESCRIPTION: &'static str;
}

impl<E> From<E> for Named<E> {
    fn from(value: E) -> Self {
        Self(value)
    }
}

impl<E: Display> Display for Named<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Display> Serialize for Named<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<E: NamedEnum> PartialSchema for Named<E> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(E::VARIANTS.iter().copied()))
            .description(Some(E::DESCRIPTION))
            .into()
    }
}

impl<E: NamedEnum> ToSchema for Named<E> {
    fn name() -> Cow<'static, str> {
        E::SCHEMA.into()
    }
}

/// Each row is `Rust enum => schema and alias: "description"`.
macro_rules! named_enums {
    ($($source:ident => $name:ident: $description:literal;)+) => {
        $(
            pub(crate) type $name = Named<$source>;

            impl NamedEnum for $source {
                const SCHEMA: &'static str = stringify!($name);
                const DESCRIPTION: &'static str = $description;
            }
        )+

        /// All schemas of this module, for the components of the document.
        pub(super) fn schemas() -> Vec<(Cow<'static, str>, RefOr<Schema>)> {
            vec![$(($name::name(), $name::schema())),+]
        }
    };
}

named_enums! {
    Status => SubmissionStatus: "Status of a submission. `completed`, `failed`, `timed_out` and `cancelled` are final, \
        unless staff retry the submission.";
    Step => SubmissionStep: "Machine-readable name of a submission event.";
    EventName => SubmissionEventName: "Name of a server-sent event about a submission.";
    DeliveryStatus => EmailStatus: "Status of an e-mail. `unknown`: the connection to the mail server broke, so the \
        e-mail may or may not have been sent.";
    EmailState => SubmissionEmailState: "State of a submission's latest e-mail. `planned`: due within the last hour. \
        `overdue`: due for more than an hour. `unknown`: the e-mail may or may not have been sent.";
    DeliveryKind => EmailKind: "What an e-mail reports: an outcome of the submission, or `link`, a new link to the \
        submission's page that the patient requested.";
    FailureCode => SubmissionErrorCode: "Stable failure code of a submission, a run or an e-mail.";
    BreakerState => LoopAiBreakerState: "State of the circuit breaker for LoopAI. `closed`: requests pass. `half_open`: \
        requests resume gradually. `open`: only one request at a time is sent, as a probe.";
    PauseTarget => ServicePart: "Part of the service that staff can pause. `loopai_requests`: requests to LoopAI, \
        including polls. `emails`: e-mails to patients.";
    ErrorCode => ApiErrorCode: "Stable code of an error response.";
    Role => AccountRole: "Role of an account.";
    Permission => AccountPermission: "Permission of an account.";
    ActorKind => AuditActorKind: "Kind of actor. `operator` is a command-line user.";
    Action => AuditAction: "Action that the audit log records.";
    ObjectKind => AuditObjectKind: "Kind of object that an action affects. `service`: no single object is affected.";
}

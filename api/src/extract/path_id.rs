use crate::error::{ApiError, ErrorCode};
use crate::openapi::names::ServicePart;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use diagflow_store::{ApiKeyId, DeliveryId, FileId, PauseTarget, SessionId, SubmissionId, UserId};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, Required, SchemaFormat, Type};

/// The id in a path, or a tuple of all ids in path order. If an id cannot be parsed, the error is `not_found`.
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(ids)| Self(ids)).map_err(|_| ApiError::NotFound)
    }
}

pub(crate) trait Ids {
    /// Returns the description and the schema of each id.
    fn documentation() -> Vec<(&'static str, RefOr<Schema>)>;
}

trait Id {
    const DESCRIPTION: &'static str;

    fn schema() -> RefOr<Schema> {
        let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
        ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).into()
    }

    fn documentation() -> (&'static str, RefOr<Schema>) {
        (Self::DESCRIPTION, Self::schema())
    }
}

impl Id for SubmissionId {
    const DESCRIPTION: &'static str = "Id of the submission.";
}

impl Id for FileId {
    const DESCRIPTION: &'static str = "Id of the file.";
}

impl Id for DeliveryId {
    const DESCRIPTION: &'static str = "Id of the e-mail.";
}

impl Id for UserId {
    const DESCRIPTION: &'static str = "Id of the account.";
}

impl Id for SessionId {
    const DESCRIPTION: &'static str = "Id of the session.";
}

impl Id for ApiKeyId {
    const DESCRIPTION: &'static str = "Id of the API key.";
}

impl Id for String {
    const DESCRIPTION: &'static str = "Temporal run id.";
}

impl Id for PauseTarget {
    const DESCRIPTION: &'static str = "Part of the service.";

    fn schema() -> RefOr<Schema> {
        Ref::from_schema_name(ServicePart::name()).into()
    }
}

impl<T: Id> Ids for T {
    fn documentation() -> Vec<(&'static str, RefOr<Schema>)> {
        vec![<T as Id>::documentation()]
    }
}

impl<A: Id, B: Id> Ids for (A, B) {
    fn documentation() -> Vec<(&'static str, RefOr<Schema>)> {
        vec![<A as Id>::documentation(), <B as Id>::documentation()]
    }
}

impl<T: Ids> Documented for PathId<T> {
    fn document(route: &mut RouteDocument<'_>) {
        let names: Vec<_> = route.path_parameters().map(str::to_owned).collect();
        let documentation = T::documentation();
        let parameters =
            names.into_iter().zip(documentation).map(|(name, (description, schema))| {
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .description(Some(description))
                    .schema(Some(schema))
                    .build()
            });
        route.add_parameters(parameters);
        route.add_errors(&[ErrorCode::NotFound]);
    }
}

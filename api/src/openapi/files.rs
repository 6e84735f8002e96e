//! Schemas of files. OpenAPI 3.1 describes a file by its media type alone, but client generators and Swagger UI
//! recognise a file only by `format: binary`, as in OpenAPI 3.0.

use std::borrow::Cow;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

pub(crate) enum FileBytes {}

impl PartialSchema for FileBytes {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for FileBytes {
    fn name() -> Cow<'static, str> {
        "FileBytes".into()
    }
}

//! The schema of LoopAI's results. `store/src/submissions/report.rs` reads the same members.

use crate::openapi::examples;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ArrayItems, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// Documents [`diagflow_store::DiagnosisResult`].
pub(crate) enum DiagnosisResult {}

enum DiagnosisFinding {}

fn scalar(description: &str) -> ObjectBuilder {
    let types = [Type::String, Type::Number, Type::Null];
    ObjectBuilder::new().schema_type(SchemaType::from_iter(types)).description(Some(description))
}

fn any_member() -> Option<AdditionalProperties<Schema>> {
    Some(AdditionalProperties::FreeForm(true))
}

impl PartialSchema for DiagnosisResult {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let finding =
            OneOfBuilder::new().item(Ref::from_schema_name(DiagnosisFinding::name())).item(text());
        let list = |items: Schema, description| {
            ArrayBuilder::new()
                .items(ArrayItems::RefOrSchema(Box::new(RefOr::T(items))))
                .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
                .description(Some(description))
        };
        let recommendations = list(text().build().into(), "Recommendations, usually as a list.");
        ObjectBuilder::new()
            .description(Some(
                "Result from LoopAI. Only the usual members are listed. None is guaranteed, and others are possible.",
            ))
            .property("notice", scalar("Note on the whole result, for example that it is simulated."))
            .property("summary", scalar("Summary."))
            .property("findings", list(finding.build().into(), "Findings."))
            .property("recommendations", OneOfBuilder::new().item(recommendations).item(text()))
            .additional_properties(any_member())
            .examples([examples::diagnosis_result()])
            .into()
    }
}

impl ToSchema for DiagnosisResult {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((DiagnosisFinding::name().into_owned(), DiagnosisFinding::schema()));
    }
}

impl PartialSchema for DiagnosisFinding {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("Finding in a result. Other members are possible."))
            .property("label", scalar("Name of the finding."))
            .property("confidence", scalar("Confidence, usually a number from 0 to 1."))
            .property("description", scalar("Description."))
            .property("file", scalar("Name of the image, such as `image-1.jpg`."))
            .additional_properties(any_member())
            .into()
    }
}

impl ToSchema for DiagnosisFinding {}

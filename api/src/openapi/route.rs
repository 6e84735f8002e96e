//! Derives route documentation from the argument types of handlers, so handlers need not list the parameters, bodies
//! and errors of their extractors.

use crate::app::AppState;
use crate::error::ErrorCode;
use crate::openapi::error_responses;
use axum::extract::State;
use axum::http::HeaderMap;
use axum_extra::extract::cookie::CookieJar;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Content, ObjectBuilder, Ref, RefOr, Required, Type};
use utoipa_axum::router::UtoipaMethodRouter;

pub(crate) struct RouteDocument<'a> {
    path: &'a str,
    operation: &'a mut Operation,
    schemas: &'a mut Vec<(String, RefOr<Schema>)>,
}

pub(crate) trait Documented {
    /// Adds this argument type's parameters, body and errors.
    fn document(_route: &mut RouteDocument<'_>) {}
}

impl RouteDocument<'_> {
    pub(crate) fn operation(&mut self) -> &mut Operation {
        self.operation
    }

    pub(crate) fn add_errors(&mut self, codes: &[ErrorCode]) {
        error_responses::add(self.operation, codes);
    }

    pub(crate) fn add_parameters(&mut self, parameters: impl IntoIterator<Item = Parameter>) {
        self.operation
            .parameters
            .get_or_insert_default()
            .extend(parameters.into_iter().map(RefOr::T));
    }

    pub(crate) fn add_header(
        &mut self,
        name: &str,
        schema_type: Type,
        required: Required,
        description: &str,
    ) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(required)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(schema_type)));
        self.add_parameters([parameter.build()]);
    }

    pub(crate) fn add_json_body<T: ToSchema>(&mut self) {
        let content = Content::new(Some(Ref::from_schema_name(T::name())));
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True));
        self.operation.request_body = Some(body.build().into());
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(self.schemas);
    }

    pub(crate) fn path_parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

#[cfg(test)]
impl RouteDocument<'_> {
    pub(crate) fn of<T: Documented>(path: &str) -> Operation {
        let (mut operation, mut schemas) = (Operation::default(), Vec::new());
        T::document(&mut RouteDocument { path, operation: &mut operation, schemas: &mut schemas });
        operation
    }
}

impl<T> Documented for State<T> {}
impl Documented for HeaderMap {}
impl Documented for CookieJar {}

impl<T: Documented> Documented for Option<T> {
    fn document(route: &mut RouteDocument<'_>) {
        T::document(route);
        if let Some(RefOr::T(body)) = &mut route.operation.request_body {
            body.required = Some(Required::False);
        }
    }
}

pub(crate) trait DocumentedHandler<Arguments> {
    fn document(route: &mut RouteDocument<'_>);
}

macro_rules! documented_handler {
    ($($argument:ident),*) => {
        impl<F, Response, $($argument),*> DocumentedHandler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Response,
            $($argument: Documented,)*
        {
            fn document(_route: &mut RouteDocument<'_>) {
                $($argument::document(_route);)*
            }
        }
    };
}
documented_handler!();
documented_handler!(A);
documented_handler!(A, B);
documented_handler!(A, B, C);
documented_handler!(A, B, C, D);
documented_handler!(A, B, C, D, E);

pub(crate) fn documented<H: DocumentedHandler<Arguments>, Arguments>(
    (mut schemas, mut paths, router): UtoipaMethodRouter<AppState>,
    _: H,
) -> UtoipaMethodRouter<AppState> {
    for (path, operation) in operations(&mut paths) {
        H::document(&mut RouteDocument { path, operation, schemas: &mut schemas });
    }
    (schemas, paths, router)
}

/// Builds a route that is documented from its handler.
macro_rules! route {
    ($handler:path) => {
        $crate::openapi::route::documented(utoipa_axum::routes!($handler), $handler)
    };
}
pub(crate) use route;

pub(crate) fn operations(paths: &mut Paths) -> impl Iterator<Item = (&str, &mut Operation)> {
    paths.paths.iter_mut().flat_map(|(path, item)| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
            .map(|operation| (path.as_str(), operation))
    })
}

pub(crate) fn writes(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    let items = paths.paths.values_mut();
    let all =
        items.flat_map(|item| [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete]);
    all.flatten()
}

pub(crate) fn add_errors(paths: &mut Paths, codes: &[ErrorCode]) {
    for (_, operation) in operations(paths) {
        error_responses::add(operation, codes);
    }
}

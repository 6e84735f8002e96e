//! Parses query parameters. Unknown, repeated and invalid parameters are errors, and all errors are reported at once.
//! Empty parameters count as missing, because forms send an empty parameter for each field left blank.

use crate::app::AppState;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ErrorCode};
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use diagflow_store::truncated;
use serde_json::{Map, Value};
use url::form_urlencoded;
use utoipa::openapi::path::Parameter;

/// Request parameters that have not been taken yet, and the errors found so far.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    errors: Vec<FieldError>,
    /// Names of the parameters that have been taken.
    #[cfg(test)]
    pub(crate) taken: Vec<&'static str>,
}

impl Parameters {
    fn of(query: &str) -> Self {
        let given = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self::given(given.filter(|(_, value)| !value.is_empty()))
    }

    /// Wraps parameters from a source other than a query. Empty values are kept.
    pub(crate) fn given(given: impl Iterator<Item = (String, String)>) -> Self {
        Self { given: given.collect(), ..Self::default() }
    }

    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        #[cfg(test)]
        self.taken.push(name);
        let mut values =
            self.given.extract_if(.., |(given, _)| given == name).map(|(_, value)| value);
        let value = values.next();
        if values.count() > 0 {
            self.add_error(
                name,
                FieldErrorCode::Repeated,
                format!("{name} is given more than once"),
            );
        }
        value
    }

    /// Joins the values of a repeated parameter with commas, because generated clients send lists by repeating the
    /// parameter.
    pub(crate) fn join(&mut self, name: &'static str) {
        let values: Vec<_> = self.given.iter().filter(|(given, _)| given == name).collect();
        let [_, _, ..] = values.as_slice() else { return };
        let joined = values.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(",");
        self.given.retain(|(given, _)| given != name);
        self.given.push((name.to_owned(), joined));
    }

    /// Takes and parses a parameter. If `parse` fails, records the error with `code`.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        code: FieldErrorCode,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(name)?;
        match parse(&value) {
            Ok(read) => Some(read),
            Err(message) => {
                self.add_error(name, code, message);
                None
            }
        }
    }

    pub(crate) fn add_error(&mut self, name: &str, code: FieldErrorCode, message: String) {
        self.errors.push(FieldError { field: name.to_owned(), code, message });
    }

    /// Returns all errors. Each parameter that has not been taken is reported as unknown.
    pub(crate) fn finish(mut self) -> Vec<FieldError> {
        for (name, _) in std::mem::take(&mut self.given) {
            let name = truncated(&name, 64);
            let message = format!("Unknown parameter {name:?}");
            self.add_error(&name, FieldErrorCode::UnknownParameter, message);
        }
        self.errors
    }
}

/// Reads parameters and records their values for the audit log.
pub(crate) struct RecordedParameters<'a> {
    parameters: &'a mut Parameters,
    pub(crate) values: Map<String, Value>,
}

impl<'a> RecordedParameters<'a> {
    pub(crate) fn new(parameters: &'a mut Parameters) -> Self {
        Self { parameters, values: Map::new() }
    }

    /// Like [`Parameters::read`], but also records the value.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        code: FieldErrorCode,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parameters.read(name, code, |text| {
            self.values.insert(name.to_owned(), text.into());
            parse(text)
        })
    }
}

pub(crate) trait FromParameters: Sized {
    /// Errors that handlers return for these parameters, in addition to [`ApiError::InvalidQuery`].
    const ERRORS: &'static [ErrorCode] = &[];

    /// Returns the parameters for the OpenAPI document.
    fn parameters() -> Vec<Parameter>;

    /// Takes the known parameters. The result is discarded if there are errors.
    fn from_parameters(parameters: &mut Parameters) -> Self;
}

#[derive(Debug)]
pub(crate) struct ValidQuery<T>(pub(crate) T);

impl<T: FromParameters> FromRequestParts<AppState> for ValidQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let mut parameters = Parameters::of(parts.uri.query().unwrap_or_default());
        let query = T::from_parameters(&mut parameters);
        let errors = parameters.finish();
        if errors.is_empty() { Ok(Self(query)) } else { Err(ApiError::InvalidQuery(errors)) }
    }
}

impl<T: FromParameters> Documented for ValidQuery<T> {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_parameters(T::parameters());
        route.add_errors(&[ErrorCode::InvalidQuery]);
        route.add_errors(T::ERRORS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(query: &str) -> Vec<(String, FieldErrorCode)> {
        let mut parameters = Parameters::of(query);
        parameters.read("page", FieldErrorCode::PageInvalid, |text| {
            text.parse::<u32>().map_err(|_| "Page must be a number".to_owned())
        });
        parameters.finish().into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn every_invalid_parameter_is_reported() {
        assert_eq!(errors(""), []);
        assert_eq!(errors("page=3&"), []);
        assert_eq!(errors("page=&other="), [], "empty parameters count as missing");
        assert_eq!(errors("page=1&page=2"), [("page".to_owned(), FieldErrorCode::Repeated)]);
        assert_eq!(
            errors("page=x&Page=1&a%20b=c"),
            [
                ("page".to_owned(), FieldErrorCode::PageInvalid),
                ("Page".to_owned(), FieldErrorCode::UnknownParameter),
                ("a b".to_owned(), FieldErrorCode::UnknownParameter),
            ]
        );
    }

    #[test]
    fn repeated_list_parameters_are_joined() {
        let mut parameters = Parameters::of("status=failed&page=1&status=timed_out");
        parameters.join("status");
        parameters.join("page");
        assert_eq!(parameters.take("status").as_deref(), Some("failed,timed_out"));
        assert_eq!(parameters.take("page").as_deref(), Some("1"));
        assert_eq!(parameters.finish(), []);
    }
}

//! Full-text search in comments, using the database's full-text index.

/// The default value of `innodb_ft_min_token_size`.
const MIN_TOKEN_LENGTH: usize = 3;
const MAX_TERMS: usize = 10;

/// Stopwords of three or more letters, which the index does not contain. MySQL 8 and MariaDB use the same stopwords
/// (`INFORMATION_SCHEMA.INNODB_FT_DEFAULT_STOPWORD`).
const STOPWORDS: [&str; 18] = [
    "about", "are", "com", "for", "from", "how", "that", "the", "this", "und", "was", "what",
    "when", "where", "who", "will", "with", "www",
];

/// Search terms, each of which must match the beginning of a word in the comments.
#[derive(Clone, PartialEq, Eq)]
pub struct FullTextQuery(Vec<String>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFullTextQuery {
    #[error("enter a term to search for")]
    NoTerms,
    #[error("{0:?} is too short: a term needs at least {MIN_TOKEN_LENGTH} letters")]
    TooShort(String),
    #[error("enter at most {MAX_TERMS} terms")]
    TooManyTerms,
}

impl std::str::FromStr for FullTextQuery {
    type Err = InvalidFullTextQuery;

    /// Removes all characters except letters, digits and `_`, as the index does, so the terms contain no operators.
    /// Splits terms such as `don't`, and ignores stopwords and parts that are too short.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
        let mut terms: Vec<String> = Vec::new();
        for term in text.split_whitespace() {
            let parts = term.split(|character| !is_of_a_word(character));
            let mut parts = parts.filter(|part| !part.is_empty()).peekable();
            if parts.peek().is_none() {
                continue;
            }
            let before = terms.len();
            let mut common = false;
            for part in parts.map(str::to_lowercase) {
                common |= STOPWORDS.contains(&part.as_str());
                if part.chars().count() >= MIN_TOKEN_LENGTH && !STOPWORDS.contains(&part.as_str()) {
                    terms.push(part);
                }
            }
            if terms.len() == before && !common {
                return Err(InvalidFullTextQuery::TooShort(term.to_owned()));
            }
        }
        match terms.len() {
            0 => Err(InvalidFullTextQuery::NoTerms),
            count if count > MAX_TERMS => Err(InvalidFullTextQuery::TooManyTerms),
            _ => Ok(Self(terms)),
        }
    }
}

impl FullTextQuery {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns an expression for `IN BOOLEAN MODE` that requires every term to match the beginning of a word.
    pub(crate) fn boolean_expression(&self) -> String {
        let required: Vec<_> = self.0.iter().map(|word| format!("+{word}*")).collect();
        required.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> Result<String, InvalidFullTextQuery> {
        text.parse::<FullTextQuery>().map(|terms| terms.boolean_expression())
    }

    #[test]
    fn search_operators_are_removed() {
        assert_eq!(expression("Red eye").as_deref(), Ok("+red* +eye*"));
        assert_eq!(
            expression(r#"-red ~eye "left >side" (bl*rred"#).as_deref(),
            Ok("+red* +eye* +left* +side* +rred*")
        );
        assert_eq!(expression("don't").as_deref(), Ok("+don*"));
        assert_eq!(expression("süß_1").as_deref(), Ok("+süß_1*"));
    }

    #[test]
    fn short_terms_and_queries_with_only_stopwords_are_rejected() {
        assert_eq!(expression("my eye"), Err(InvalidFullTextQuery::TooShort("my".to_owned())));
        assert_eq!(expression(" +-* "), Err(InvalidFullTextQuery::NoTerms));
        assert_eq!(expression("the"), Err(InvalidFullTextQuery::NoTerms));
        assert_eq!(expression("the eye").as_deref(), Ok("+eye*"));
        assert_eq!(expression(&"eyes ".repeat(11)), Err(InvalidFullTextQuery::TooManyTerms));
    }
}

//! Words to look for in comments, by the database's full-text index.

/// Shortest word in the index: `innodb_ft_min_token_size`, 3 unless the server is set otherwise.
const SHORTEST: usize = 3;
/// Most words of one search.
const MOST: usize = 10;

/// Words of three letters and more that are not in the index, because nearly every text has them
/// (`INFORMATION_SCHEMA.INNODB_FT_DEFAULT_STOPWORD`, the same on MySQL 8 and MariaDB).
const COMMON: [&str; 18] = [
    "about", "are", "com", "for", "from", "how", "that", "the", "this", "und", "was", "what",
    "when", "where", "who", "will", "with", "www",
];

/// Words, each of which must begin a word of the comments.
#[derive(Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

/// Why words cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWords {
    /// There are none, or only such as nearly every text has.
    #[error("there is no word to look for")]
    None,
    /// This one is too short for the index.
    #[error("{0:?} is too short: words of less than {SHORTEST} letters cannot be found")]
    TooShort(String),
    /// More than one search may have.
    #[error("these are too many words (at most {MOST})")]
    TooMany,
}

impl std::str::FromStr for Words {
    type Err = InvalidWords;

    /// Reads words as somebody types them. Only letters, digits and `_` are taken from it, which is what
    /// the index is made of, so no operator of the search is left. Of words like `don't` the part that is
    /// long enough is looked for; words that nearly every text has are left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
        let mut words: Vec<String> = Vec::new();
        for term in text.split_whitespace() {
            let parts = term.split(|character| !is_of_a_word(character));
            let mut parts = parts.filter(|part| !part.is_empty()).peekable();
            if parts.peek().is_none() {
                continue;
            }
            let before = words.len();
            let mut common = false;
            for part in parts.map(str::to_lowercase) {
                common |= COMMON.contains(&part.as_str());
                if part.chars().count() >= SHORTEST && !COMMON.contains(&part.as_str()) {
                    words.push(part);
                }
            }
            if words.len() == before && !common {
                return Err(InvalidWords::TooShort(term.to_owned()));
            }
        }
        match words.len() {
            0 => Err(InvalidWords::None),
            count if count > MOST => Err(InvalidWords::TooMany),
            _ => Ok(Self(words)),
        }
    }
}

impl Words {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// As an expression of the search in boolean mode: every word is required, as a beginning.
    pub(crate) fn in_boolean_mode(&self) -> String {
        let required: Vec<_> = self.0.iter().map(|word| format!("+{word}*")).collect();
        required.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(text: &str) -> Result<String, InvalidWords> {
        text.parse::<Words>().map(|words| words.in_boolean_mode())
    }

    #[test]
    fn no_operator_of_the_search_is_left() {
        assert_eq!(searched("Red eye").as_deref(), Ok("+red* +eye*"));
        assert_eq!(
            searched(r#"-red ~eye "left >side" (bl*rred"#).as_deref(),
            Ok("+red* +eye* +left* +side* +rred*")
        );
        assert_eq!(searched("don't").as_deref(), Ok("+don*"));
        assert_eq!(searched("süß_1").as_deref(), Ok("+süß_1*"));
    }

    #[test]
    fn what_the_index_does_not_have_is_said() {
        assert_eq!(searched("my eye"), Err(InvalidWords::TooShort("my".to_owned())));
        assert_eq!(searched(" +-* "), Err(InvalidWords::None));
        assert_eq!(searched("the"), Err(InvalidWords::None));
        assert_eq!(searched("the eye").as_deref(), Ok("+eye*"));
        assert_eq!(searched(&"eyes ".repeat(11)), Err(InvalidWords::TooMany));
    }
}

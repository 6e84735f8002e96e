//! Text in SQL: types stored as text, `LIKE` patterns and truncation.

/// Stores a type as text, using its `Display` and `FromStr`.
macro_rules! stored_as_text {
    ($name:ty) => {
        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::mysql::Mysql> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::mysql::Mysql>,
            ) -> diesel::serialize::Result {
                std::io::Write::write_fmt(out, format_args!("{self}"))?;
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::mysql::Mysql> for $name {
            fn from_sql(value: diesel::mysql::MysqlValue<'_>) -> diesel::deserialize::Result<Self> {
                let text = <String as diesel::deserialize::FromSql<
                    diesel::sql_types::Text,
                    diesel::mysql::Mysql,
                >>::from_sql(value)?;
                Ok(text.parse()?)
            }
        }
    };
}
pub(crate) use stored_as_text;

/// Returns a pattern for `LIKE … ESCAPE '!'`.
pub(crate) fn contains_pattern(text: &str) -> String {
    format!("%{}%", escape_like(text))
}

/// Returns a pattern for `LIKE … ESCAPE '!'`.
pub(crate) fn prefix_pattern(text: &str) -> String {
    format!("{}%", escape_like(text))
}

fn escape_like(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        if matches!(character, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(character);
        escaped
    })
}

/// Maximum length of the `error_detail` columns in characters.
pub(crate) const MAX_ERROR_DETAIL: usize = 1000;

pub fn truncated(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_like_patterns_are_escaped() {
        assert_eq!(contains_pattern("100%_a!"), "%100!%!_a!!%");
        assert_eq!(prefix_pattern("ana"), "ana%");
        assert_eq!(prefix_pattern(r"a%b_c\"), r"a!%b!_c\%");
    }
}

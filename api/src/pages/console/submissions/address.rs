use url::form_urlencoded;

const PATH: &str = "/admin";
/// The parameters that choose a page of the list. A changed list starts on its first page.
const POSITION: [&str; 2] = ["page", "cursor"];

/// The address of the list, whose parameters are the filters.
#[derive(Debug, Clone)]
pub(super) struct ListAddress(Vec<(String, String)>);

impl ListAddress {
    pub(super) fn of(address: &str) -> Self {
        let query = address.split_once('?').map_or("", |(_, query)| query);
        let given = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in given.filter(|(_, value)| !value.is_empty()) {
            // The API also accepts lists as repeated parameters.
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => *values = format!("{values},{value}"),
                None => parameters.push((name, value)),
            }
        }
        Self(parameters)
    }

    /// Returns the value of a parameter, or an empty text.
    pub(super) fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    /// Returns the address of the first page with other values. An empty value removes its parameter.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let others = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let others = others.filter(|(name, _)| !is_changed(name) && !POSITION.contains(name));
        let new = changes.iter().copied().filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others.chain(new))
            .finish();
        if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{query}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_filters_lead_to_the_first_page() {
        let address = ListAddress::of("/admin?email=a%26b&status=failed&comments=&page=3");
        assert_eq!(address.value("email"), "a&b");
        assert_eq!(address.value("comments"), "");
        assert_eq!(address.with(&[("status", "")]), "/admin?email=a%26b");
        let sorted = address.with(&[("email", ""), ("sort", "updated_at")]);
        assert_eq!(sorted, "/admin?status=failed&sort=updated_at");
        assert_eq!(address.with(&[("page", "4")]), "/admin?email=a%26b&status=failed&page=4");
        assert_eq!(ListAddress::of("/admin?cursor=x").with(&[]), "/admin");
        let repeated = ListAddress::of("/admin?status=failed&status=timed_out");
        assert_eq!(repeated.value("status"), "failed,timed_out");
    }
}

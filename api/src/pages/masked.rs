/// Returns an e-mail address with only the first letter before the `@`, because others may see the screen.
pub(crate) fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or_default();
    let first: String = local.chars().take(1).collect();
    format!("{first}…@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked() {
        for (address, expected) in
            [("maria@example.org", "m…@example.org"), ("ö@example.org", "ö…@example.org")]
        {
            assert_eq!(masked(address), expected);
        }
    }
}

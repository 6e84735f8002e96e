//! The image names used in requests to LoopAI, such as `image-1.jpg` and `image-2.png`.

pub(super) const PREFIX: &str = "image-";
const EXTENSIONS: [&str; 3] = [".jpg", ".png", ".webp"];

/// Returns the image's position in the submission, starting at 1, or `None` if Diagflow did not assign the name.
pub(super) fn image_number(name: &str) -> Option<u16> {
    let (number, after) = leading_image_number(name)?;
    after.is_empty().then_some(number)
}

/// If `text` starts with an image name, returns the image's position and the remaining text.
pub(super) fn leading_image_number(text: &str) -> Option<(u16, &str)> {
    let name = text.strip_prefix(PREFIX)?;
    let (number, extension) = name.split_at(name.find('.')?);
    let after = EXTENSIONS.iter().find_map(|it| extension.strip_prefix(it))?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    if is_number { Some((number.parse().ok()?, after)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_image_names_assigned_by_diagflow_have_a_number() {
        assert_eq!(image_number("image-1.jpg"), Some(1));
        assert_eq!(image_number("image-12.webp"), Some(12));
        for other in [
            "",
            "image-.jpg",
            "image-0.jpg",
            "image-+1.jpg",
            "image-99999.jpg",
            "image-1",
            "image-1.",
            "image-1.jpg.exe",
            "image-1.Pay at once",
            "my-image-1.jpg",
            "image-1 .jpg",
            "image-1.com",
        ] {
            assert_eq!(image_number(other), None, "{other}");
        }
        assert_eq!(leading_image_number("image-3.png again"), Some((3, " again")));
    }
}

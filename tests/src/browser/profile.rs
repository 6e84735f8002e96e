//! The kinds of visitors with which pages are tested.

use serde_json::{Value, json};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    pub screen: Screen,
    pub scheme: Scheme,
    pub language: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// 390 × 844 px with a touch screen.
    Phone,
    /// 1280 × 900 px with a mouse.
    Desktop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    German,
}

impl Profile {
    pub const fn new(screen: Screen, scheme: Scheme, language: Language) -> Profile {
        Profile { screen, scheme, language }
    }

    /// Returns all combinations.
    pub fn all() -> impl Iterator<Item = Profile> {
        let screens = [Screen::Phone, Screen::Desktop];
        screens.into_iter().flat_map(|screen| {
            [Scheme::Light, Scheme::Dark].into_iter().flat_map(move |scheme| {
                let languages = [Language::English, Language::German];
                languages.map(move |language| Profile { screen, scheme, language })
            })
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Profile { screen, scheme, language } = self;
        write!(f, "{}-{}-{}", screen.width(), scheme.name(), language.tag())
    }
}

impl Screen {
    fn size(self) -> (u32, u32) {
        match self {
            Screen::Phone => (390, 844),
            Screen::Desktop => (1280, 900),
        }
    }

    pub(super) fn width(self) -> u32 {
        self.size().0
    }

    /// The narrowest and the widest supported screen are tested for horizontal scrolling, too.
    pub(super) fn extreme_width(self) -> u32 {
        match self {
            Screen::Phone => 320,
            Screen::Desktop => 1600,
        }
    }

    pub(super) fn metrics(self) -> Value {
        self.metrics_with_width(self.width())
    }

    pub(super) fn metrics_with_width(self, width: u32) -> Value {
        let is_phone = self == Screen::Phone;
        json!({"width": width, "height": self.size().1, "deviceScaleFactor": 1, "mobile": is_phone})
    }
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

impl Language {
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    /// Chooses the text in this language.
    pub fn choose<T>(self, english: T, german: T) -> T {
        match self {
            Language::English => english,
            Language::German => german,
        }
    }
}

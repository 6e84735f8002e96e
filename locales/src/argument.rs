use fluent_bundle::FluentValue;

/// A value of a message's variable. Templates pass references, so references are values too.
pub trait Argument {
    fn value(&self) -> FluentValue<'static>;
}

impl<T: Argument + ?Sized> Argument for &T {
    fn value(&self) -> FluentValue<'static> {
        (**self).value()
    }
}

impl Argument for str {
    fn value(&self) -> FluentValue<'static> {
        self.to_owned().into()
    }
}

impl Argument for String {
    fn value(&self) -> FluentValue<'static> {
        self.clone().into()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Argument for $number {
            fn value(&self) -> FluentValue<'static> {
                (*self).into()
            }
        })*
    };
}
numbers!(u8, i32, i64, u16, u32, u64, usize, f64);

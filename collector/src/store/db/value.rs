//! Values for placeholders.

use std::borrow::Cow;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Error, Type};

/// A value of a placeholder. Made by `bind` from numbers that fit, `bool`, text, bytes, and `Option` of these.
#[derive(Clone, Debug)]
pub enum Value<'q> {
    /// A whole number.
    Int(Option<i64>),
    /// A number with a fraction.
    Real(Option<f64>),
    /// Text. PostgreSQL cannot hold a NUL in it: there it becomes U+FFFD.
    Text(Option<Cow<'q, str>>),
    /// Bytes.
    Blob(Option<Cow<'q, [u8]>>),
}

/// What a placeholder is given.
#[derive(Clone, Debug)]
pub(super) enum Bound<'q> {
    One(Value<'q>),
    /// A column of them. Only PostgreSQL takes one.
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'q, str>>>),
    Blobs(Vec<Option<Cow<'q, [u8]>>>),
}

macro_rules! value {
    () => { Value<'_> };
    ($life:lifetime) => { Value<$life> };
}

macro_rules! from {
    ($([$($life:lifetime)?] $type:ty => $kind:ident, |$value:ident| $into:expr;)*) => {$(
        impl<$($life)?> From<$type> for value!($($life)?) {
            fn from($value: $type) -> Self {
                Self::$kind(Some($into))
            }
        }
        impl<$($life)?> From<Option<$type>> for value!($($life)?) {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map(|$value| $into))
            }
        }
    )*};
}

from! {
    [] i64 => Int, |value| value;
    [] i32 => Int, |value| value.into();
    [] u32 => Int, |value| value.into();
    [] u16 => Int, |value| value.into();
    [] u8 => Int, |value| value.into();
    [] bool => Int, |value| value.into();
    [] f64 => Real, |value| value;
    [] String => Text, |value| Cow::Owned(value);
    ['q] &'q str => Text, |value| Cow::Borrowed(value);
    ['q] &'q String => Text, |value| Cow::Borrowed(value.as_str());
    ['q] &'q &'q str => Text, |value| Cow::Borrowed(*value);
    ['q] Cow<'q, str> => Text, |value| value;
    [] Vec<u8> => Blob, |value| Cow::Owned(value);
    ['q] &'q [u8] => Blob, |value| Cow::Borrowed(value);
    ['q] &'q Vec<u8> => Blob, |value| Cow::Borrowed(value.as_slice());
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::Text(value.as_deref().map(Cow::Borrowed))
    }
}

pub(super) fn sqlite(values: Vec<Bound<'_>>) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Bound::One(Value::Int(value)) => add(&mut arguments, value)?,
            Bound::One(Value::Real(value)) => add(&mut arguments, value)?,
            Bound::One(Value::Text(value)) => add(&mut arguments, value)?,
            Bound::One(Value::Blob(value)) => add(&mut arguments, value.map(Cow::into_owned))?,
            Bound::Ints(_) | Bound::Texts(_) | Bound::Blobs(_) => {
                return Err(Error::Encode("SQLite takes no columns of values".into()));
            }
        }
    }
    Ok(arguments)
}

pub(super) fn postgres(values: Vec<Bound<'_>>) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Bound::One(Value::Int(value)) => add(&mut arguments, value)?,
            Bound::One(Value::Real(value)) => add(&mut arguments, value)?,
            Bound::One(Value::Text(value)) => add(&mut arguments, value.map(without_nul))?,
            Bound::One(Value::Blob(value)) => add(&mut arguments, value.as_deref())?,
            Bound::Ints(values) => add(&mut arguments, values)?,
            Bound::Texts(values) => {
                let values: Vec<_> = values.into_iter().map(|value| value.map(without_nul)).collect();
                add(&mut arguments, values)?;
            }
            Bound::Blobs(values) => {
                let values: Vec<_> = values.iter().map(Option::as_deref).collect();
                add(&mut arguments, values)?;
            }
        }
    }
    Ok(arguments)
}

fn without_nul(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text }
}

fn add<'t, A: Arguments, T: Encode<'t, A::Database> + Type<A::Database>>(
    arguments: &mut A,
    value: T,
) -> Result<(), Error> {
    arguments.add(value).map_err(Error::Encode)
}

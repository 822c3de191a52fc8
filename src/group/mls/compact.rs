//! Values of openmls as bytes in memory, and back (serde). Nothing of it leaves the process, so it has no version and
//! no names: a value is read by the type that wrote it.
//!
//! ```text
//! number: its bytes, little-endian | bytes, text, list, map: count u32, then what it counts
//! struct, tuple: its fields | enum: number of the variant u32, then its fields | option: u8 = 0, or u8 = 1 and the value
//! ```

use std::fmt;

use serde::{
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor},
    ser::{self, Serialize},
};

/// Where bytes go to.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// Counts what would be written.
impl Sink for usize {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        *self += bytes.len();
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Fills the slice from its front.
impl Sink for &mut [u8] {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (to, rest) =
            std::mem::take(self).split_at_mut_checked(bytes.len()).ok_or_else(|| Error::of("too long"))?;
        to.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }
}

pub(super) fn write(value: &(impl Serialize + ?Sized), out: &mut impl Sink) -> Result<(), Error> {
    value.serialize(Writer(out))
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut left = bytes;
    let value = T::deserialize(Reader(&mut left))?;
    if left.is_empty() { Ok(value) } else { Err(Error::of("bytes are left over")) }
}

/// A value cannot be written, or was not written by its type.
#[derive(Debug)]
pub(super) struct Error(String);

impl Error {
    fn of(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::of(what)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::of(what)
    }
}

struct Writer<'a, S>(&'a mut S);

impl<S: Sink> Writer<'_, S> {
    fn count(&mut self, count: Option<usize>) -> Result<(), Error> {
        let count = count.and_then(|count| u32::try_from(count).ok());
        self.0.put(&count.ok_or_else(|| Error::of("no count"))?.to_le_bytes())
    }
}

macro_rules! write_numbers {
    ($($name:ident: $number:ty,)*) => {
        $(
            fn $name(self, number: $number) -> Result<(), Error> {
                self.0.put(&number.to_le_bytes())
            }
        )*
    };
}

impl<S: Sink> ser::Serializer for Writer<'_, S> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    write_numbers! {
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_f32: f32, serialize_f64: f64,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.put(&[value.into()])
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.0.put(&u32::from(value).to_le_bytes())
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result<(), Error> {
        self.count(Some(bytes.len()))?;
        self.0.put(bytes)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.0.put(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0.put(&[1])?;
        write(value, self.0)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Error> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        write(value, self.0)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.0.put(&index.to_le_bytes())?;
        write(value, self.0)
    }

    fn serialize_seq(mut self, count: Option<usize>) -> Result<Self, Error> {
        self.count(count)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.0.put(&index.to_le_bytes())?;
        Ok(self)
    }

    fn serialize_map(mut self, count: Option<usize>) -> Result<Self, Error> {
        self.count(count)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.0.put(&index.to_le_bytes())?;
        Ok(self)
    }
}

macro_rules! write_parts {
    ($($compound:ident: $part:ident($($key:ty)?);)*) => {
        $(
            impl<S: Sink> ser::$compound for Writer<'_, S> {
                type Ok = ();
                type Error = Error;

                fn $part<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), Error> {
                    write(value, self.0)
                }

                fn end(self) -> Result<(), Error> {
                    Ok(())
                }
            }
        )*
    };
}

write_parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

impl<S: Sink> ser::SerializeMap for Writer<'_, S> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        write(key, self.0)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        write(value, self.0)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

struct Reader<'a, 'de>(&'a mut &'de [u8]);

impl<'de> Reader<'_, 'de> {
    fn take(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| Error::of("too short"))?;
        *self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(Error::of)
    }

    fn count(&mut self) -> Result<usize, Error> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(Error::of)
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let len = self.count()?;
        std::str::from_utf8(self.take(len)?).map_err(Error::of)
    }

    fn parts<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { left: self.0, count })
    }
}

macro_rules! read_numbers {
    ($($name:ident, $visit:ident: $number:ty;)*) => {
        $(
            fn $name<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
                visitor.$visit(<$number>::from_le_bytes(self.array()?))
            }
        )*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'_, 'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    /// Asked for by bytes that were once written in another form.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    read_numbers! {
        deserialize_u8, visit_u8: u8;
        deserialize_u16, visit_u16: u16;
        deserialize_u32, visit_u32: u32;
        deserialize_u64, visit_u64: u64;
        deserialize_u128, visit_u128: u128;
        deserialize_i8, visit_i8: i8;
        deserialize_i16, visit_i16: i16;
        deserialize_i32, visit_i32: i32;
        deserialize_i64, visit_i64: i64;
        deserialize_i128, visit_i128: i128;
        deserialize_f32, visit_f32: f32;
        deserialize_f64, visit_f64: f64;
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.array()? != [0])
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let value = char::from_u32(u32::from_le_bytes(self.array()?));
        visitor.visit_char(value.ok_or_else(|| Error::of("not a character"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let len = self.count()?;
        visitor.visit_borrowed_bytes(self.take(len)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        if self.array()? == [0] { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count()?;
        self.parts(count, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.parts(count, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.parts(count, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let count = self.count()?;
        visitor.visit_map(Parts { left: self.0, count })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.parts(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::of("fields have no names"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::of("nothing is skipped"))
    }
}

/// What is left of a list, a map or the fields of a value.
struct Parts<'a, 'de> {
    left: &'a mut &'de [u8],
    count: usize,
}

impl Parts<'_, '_> {
    fn next(&mut self) -> bool {
        let more = self.count > 0;
        self.count = self.count.saturating_sub(1);
        more
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.next() { seed.deserialize(Reader(self.left)).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.next() { seed.deserialize(Reader(self.left)).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Reader(self.left))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}

impl<'de> de::EnumAccess<'de> for Reader<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<(T::Value, Self), Error> {
        let index = u32::from_le_bytes(self.array()?);
        let variant: de::value::U32Deserializer<Error> = index.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Reader<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.parts(count, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.parts(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Plain,
        One(u16),
        Pair(bool, Option<char>),
        Named { text: String, list: Vec<Vec<u8>> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        kinds: Vec<Kind>,
        numbers: (u8, i8, u32, i16, i64, u64, u128),
        floats: [f64; 2],
        map: BTreeMap<u16, String>,
        some: Option<Box<All>>,
        unit: Unit,
        #[serde(skip)]
        skipped: u32,
    }

    fn all(some: Option<Box<All>>) -> All {
        let named = Kind::Named { text: "tea é".into(), list: vec![vec![1, 2], vec![]] };
        All {
            kinds: vec![
                Kind::Plain,
                Kind::One(7),
                Kind::Pair(true, Some('ß')),
                named,
                Kind::Pair(false, None),
            ],
            numbers: (1, -2, 3, -4, i64::MIN, u64::MAX, 1 << 100),
            floats: [0.5, -1.0],
            map: BTreeMap::from([(1, "one".into()), (2, String::new())]),
            some,
            unit: Unit,
            skipped: 0,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_shorter_or_longer() {
        let value = all(Some(Box::new(all(None))));
        let (mut bytes, mut count) = (Vec::new(), 0);
        write(&value, &mut bytes).unwrap();
        write(&value, &mut count).unwrap();
        assert_eq!(bytes.len(), count);
        assert_eq!(read::<All>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(read::<All>(&bytes[..len]).is_err(), "{len}");
            assert!(write(&value, &mut &mut vec![0; len][..]).is_err(), "{len}");
        }
        assert!(read::<All>(&[&bytes[..], &[0]].concat()).is_err());
    }
}

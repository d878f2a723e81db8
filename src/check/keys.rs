//! Keys of JSON objects, read as in Go, in which clients are written.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, Visitor,
        value::MapAccessDeserializer,
    },
};

/// An object, and only an object, whose keys may be in any case. `T` has them in lower case.
pub(super) struct AnyCase<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnyCase<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyCaseVisitor(PhantomData))
    }
}

struct AnyCaseVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyCaseVisitor<T> {
    type Value = AnyCase<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Keys(map))).map(AnyCase)
    }
}

pub(super) struct Keys<A>(pub(super) A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(LowerCase(seed))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

struct LowerCase<K>(K);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for LowerCase<K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for LowerCase<K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<K::Value, E> {
        // Clients take an empty key of the TOC for the end of the object, and readers disagree on
        // the case of letters beyond ASCII.
        if key.is_empty() || !key.is_ascii() {
            return Err(E::custom("a key that is empty or not ASCII"));
        }
        // Most keys of a TOC are in lower case.
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.0.deserialize(key.to_ascii_lowercase().into_deserializer())
        } else {
            self.0.deserialize(key.into_deserializer())
        }
    }
}

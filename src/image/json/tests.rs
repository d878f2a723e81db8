#![allow(clippy::unwrap_used)]
use super::*;

fn read(text: &str) -> Result<Object, JsonError> {
    Object::document(text.as_bytes(), &["size", "mediaType", "tasks"])
}

#[test]
fn what_readers_may_see_differently_is_refused() {
    for (text, field) in
        [(r#"{"a":1,"a":1}"#, "a"), (r#"{"a":1,"\u0061":2}"#, "a"), (r#"{"":1,"":2}"#, "")]
    {
        assert_eq!(read(text).unwrap_err(), JsonError::Duplicate(field.into()), "{text}");
    }
    for name in ["Size", "SIZE", "ſize", "\\u017fize", "mediatype", "tasKs", "tas\u{212a}s"] {
        let result = read(&format!(r#"{{"{name}":1}}"#));
        assert!(matches!(result, Err(JsonError::Case { .. })), "{name}");
    }
    for name in ["sizé", "media_type", "siz", "tasḳs"] {
        assert!(read(&format!(r#"{{"{name}":1}}"#)).is_ok(), "{name}");
    }
    let deep = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&deep(127)).is_ok());
    assert_eq!(read(&deep(128)).unwrap_err(), JsonError::Depth);
    assert_eq!(read(&deep(1 << 20)).unwrap_err(), JsonError::Depth);
    assert!(read(&format!(r#"{{"x":"{}\"["}}"#, "[".repeat(1000))).is_ok());
    for text in ["", "[]", "null", "1", "{", "{}x", "\u{feff}{}", "{\"a\":1,}", "{a:1}"] {
        assert!(matches!(read(text), Err(JsonError::Syntax(_))), "{text}");
    }
    assert!(Object::document(b"{\"x\":\"\xff\"}", &[]).is_err());
    for number in ["1e999", "-1E+400", "1.8e308", &"9".repeat(310)] {
        let result = read(&format!(r#"{{"x":[{{"y":{number}}}]}}"#));
        assert!(matches!(result, Err(JsonError::Number(_))), "{number}");
    }
    for value in ["1e308", "-1.7e308", "1e-999", "0e999", r#""1e999""#, r#""\"1e999""#, "-0"] {
        assert!(read(&format!(r#"{{"x":[{{"y":{value}}}]}}"#)).is_ok(), "{value}");
    }
}

#[test]
fn known_fields_have_their_types() {
    let all = read(
        r#"{"none":null,"text":"x","empty":"","number":7,"list":["a"],"map":{"k":"v","n":null},
           "objects":[{"a":1}],"yes":true,"big":9223372036854775808}"#,
    )
    .unwrap();
    assert_eq!(all.text("none"), Ok(None));
    assert!(all.has("none") && all.raw("none").is_none());
    assert_eq!(all.text("text"), Ok(Some("x".into())));
    assert_eq!(all.filled_text("empty"), Ok(None));
    assert_eq!(all.integer("number"), Ok(Some(7)));
    assert_eq!(all.boolean("yes"), Ok(Some(true)));
    assert_eq!(all.texts("list"), Ok(vec!["a".into()]));
    assert_eq!(all.map("map").unwrap().unwrap()["n"], "");
    assert_eq!(all.objects("objects", &[]).unwrap().unwrap().len(), 1);
    assert!(all.text("number").is_err() && all.integer("text").is_err());
    assert!(all.integer("big").is_err() && all.texts("text").is_err());
    assert!(all.map("list").is_err() && all.objects("list", &[]).is_err());
    assert!(all.object("list", &[]).is_err() && all.list("map").is_err());
    assert!(read(r#"{"m":{"a":"1","a":"2"}}"#).unwrap().map("m").is_err());
}

#[test]
fn what_is_not_edited_keeps_its_text() {
    let text = r#"{"z":1.50,"a":[1, 2],"big":123456789012345678901234567890,"n":{"x":"\u00e9"}}"#;
    let mut object = read(text).unwrap();
    assert_eq!(object.to_json(), text);
    object.set("a", &"new");
    object.edit("n", |n| n.set("y", &1)).unwrap();
    object.edit("made", |made| made.set("k", &"v")).unwrap();
    object.edit("nothing", |_| {}).unwrap();
    object.remove("z");
    let expected = concat!(
        r#"{"a":"new","big":123456789012345678901234567890,"#,
        r#""n":{"x":"\u00e9","y":1},"made":{"k":"v"}}"#
    );
    assert_eq!(object.to_json(), expected);
    object.edit("made", |made| made.remove("k")).unwrap();
    assert!(!object.has("made"));
}

//! Which values are secret.

use crate::{Properties, Value};

/// Makes secret what is secret at the same place in `like`.
pub fn mark_like(properties: &mut Properties, like: &Properties) {
    for (name, value) in properties {
        if let Some(like) = like.get(name) {
            mark(value, like);
        }
    }
}

fn mark(value: &mut Value, like: &Value) {
    match (&mut *value, like) {
        (Value::Secret(_), _) => {}
        (_, Value::Secret(_)) => *value = Value::secret(std::mem::take(value)),
        (Value::Map(map), Value::Map(like)) => mark_like(map, like),
        (Value::List(items), Value::List(like)) => {
            for (item, like) in items.iter_mut().zip(like) {
                mark(item, like);
            }
        }
        _ => {}
    }
}

/// Makes properties of these names secret.
pub fn mark_names(properties: &mut Properties, names: &[String]) {
    for name in names {
        if let Some(value) = properties.get_mut(name) {
            *value = Value::secret(std::mem::take(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_their_place() {
        let like = Value::from([(
            "settings",
            Value::List(vec![
                Value::from([("name", "a".into()), ("value", Value::secret("x"))]),
                Value::from([("name", "b".into()), ("value", "y".into())]),
            ]),
        )]);
        let mut outputs = like.revealed().as_map().unwrap().clone();
        outputs.insert("more".to_owned(), true.into());
        mark_like(&mut outputs, like.as_map().unwrap());
        mark_names(&mut outputs, &["more".to_owned(), "none".to_owned()]);
        assert_eq!(outputs["settings"], *like.get("settings").unwrap());
        assert_eq!(outputs["more"], Value::secret(true));
    }
}

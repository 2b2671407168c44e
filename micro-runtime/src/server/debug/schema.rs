//! What `Debug.Schema` gives: the descriptors of services, as they were compiled.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result, id};
use crate::schema::{Announcement, MAX_SET};

/// How many services may be asked for at once.
const MAX_NAMES: usize = 256;

/// A set whose files stay as they are.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
}

/// The `FileDescriptorSet` of those of the `announced` services that `wanted` names; of all for none.
///
/// # Errors
/// 501 where nothing is announced, 404 for a name that is not among them, 400 where so much is asked
/// for that the answer would be longer than [`MAX_SET`].
pub(super) fn set(announced: Option<&Announcement>, wanted: &[String]) -> Result<Vec<u8>> {
    let Some(Announcement { services, .. }) = announced else {
        // What a server says that does not know the method.
        return Err(Error::not_implemented(
            id::SERVER,
            "unknown service Debug.Schema",
        ));
    };
    if wanted.len() > MAX_NAMES {
        return Err(Error::bad_request(
            id::SERVER,
            format!("at most {MAX_NAMES} services can be asked for at once"),
        ));
    }
    let is_known = |name: &String| services.iter().any(|service| service.full_name == name);
    if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
        return Err(Error::not_found(
            id::SERVER,
            format!("no schema is told of {unknown:?}"),
        ));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let (mut all, mut names) = (Set::default(), BTreeMap::new());
    for service in services.iter().filter(|one| is_wanted(one.full_name)) {
        let set = Bytes::from_static(service.file_descriptor_set);
        // They were read when they were announced.
        for file in Set::decode(set).unwrap_or_default().files {
            let name = File::decode(file.clone()).unwrap_or_default().name;
            match names.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(file.clone());
                    all.files.push(file);
                }
                Entry::Occupied(known) if *known.get() == file => {}
                Entry::Occupied(known) => {
                    let words = format!(
                        "two services come from different files of the name {:?}: ask for one at a time",
                        known.key()
                    );
                    return Err(Error::bad_request(id::SERVER, words));
                }
            }
        }
    }
    if all.encoded_len() > MAX_SET {
        return Err(Error::bad_request(
            id::SERVER,
            "the schemas of so many services are too long for one answer",
        ));
    }
    Ok(all.encode_to_vec())
}

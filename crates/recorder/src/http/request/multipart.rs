//! Multipart bodies: a JSON document and files.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures_util::stream;

use super::memory::SMALL_BODY_BYTES;
use super::{BodyMemory, Reservation, body};
use crate::domain::Error;
use crate::large_work;

/// Of a part without a file name, such as the JSON document.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Of a part with a file name.
pub(crate) const MAX_FILE_BYTES: usize = 10 * 1024 * 1024;

/// In bytes: a document, a file and the multipart framing.
const MAX_BODY_BYTES: usize = MAX_FILE_BYTES + MAX_DOCUMENT_BYTES + 64 * 1024;

/// The most parts of a body. Clients send two.
const MAX_PARTS: usize = 16;

/// A part of a multipart body that is a file.
#[derive(Debug)]
pub(crate) struct FilePart {
    pub(crate) filename: String,
    pub(crate) content: Vec<u8>,
}

/// The parts of a multipart body by name, those with a file name apart from the others.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    documents: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, FilePart>,
}

impl Parts {
    /// The part `data_json`: the JSON document that every multipart body must have.
    pub(crate) fn document(&self) -> Result<&[u8], Error> {
        self.documents
            .get("data_json")
            .map(Vec::as_slice)
            .ok_or_else(|| super::json::invalid("data_json", "is required"))
    }

    /// Takes the part of this name as a file, also if it was sent without a file name.
    pub(crate) fn take_file(&mut self, name: &str) -> Option<FilePart> {
        self.files.remove(name).or_else(|| {
            let content = self.documents.remove(name)?;
            Some(FilePart { filename: name.to_owned(), content })
        })
    }
}

/// A type that a multipart body is parsed into.
pub(crate) trait FromParts: Send + Sized + 'static {
    /// # Errors
    /// The document is not what the API documents, or a part is over a limit.
    fn from_parts(parts: Parts) -> Result<Self, Error>;
}

/// A parsed multipart body and the reservation of its memory.
pub(crate) struct PartsBody<T>(pub(crate) T, pub(crate) Reservation);

impl<S: Send + Sync, T: FromParts> FromRequest<S> for PartsBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, reserved) = read_parts(request).await?;
        let is_large = parts.files.values().any(|file| file.content.len() > SMALL_BODY_BYTES)
            || parts.documents.values().any(|document| document.len() > SMALL_BODY_BYTES);
        let parsed = large_work::run(is_large, move || T::from_parts(parts));
        Ok(Self(parsed.await.map_err(|_| Error::Fault)??, reserved))
    }
}

async fn read_parts(request: Request) -> Result<(Parts, Reservation), Error> {
    let memory = request.extensions().get::<BodyMemory>().cloned().unwrap_or_default();
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let boundary = content_type.and_then(|it| multer::parse_boundary(it).ok());
    let (body, reserved) = body::read_up_to(MAX_BODY_BYTES, request.into_body(), &memory).await?;
    let boundary = boundary.ok_or_else(|| {
        Error::bad_request("The request body must be multipart/form-data, with a boundary")
    })?;
    let body = stream::once(async { Ok::<_, Infallible>(Bytes::from(body)) });
    let mut multipart = multer::Multipart::<'static>::new(body, boundary);
    let mut parts = Parts::default();
    for number in 0.. {
        let Some(field) = multipart.next_field().await.map_err(|error| malformed_error(&error))?
        else {
            break;
        };
        if number == MAX_PARTS {
            return Err(Error::bad_request(format!("The body has more than {MAX_PARTS} parts")));
        }
        add_part(&mut parts, field).await?;
    }
    Ok((parts, reserved))
}

async fn add_part(parts: &mut Parts, field: multer::Field<'static>) -> Result<(), Error> {
    let name = field.name().unwrap_or_default().to_owned();
    let filename = field.file_name().map(str::to_owned);
    let content = field.bytes().await.map_err(|error| malformed_error(&error))?;
    let most = if filename.is_some() { MAX_FILE_BYTES } else { MAX_DOCUMENT_BYTES };
    if content.len() > most {
        return Err(Error::too_large(format!("Part '{name}' is larger than {} MB", most >> 20)));
    }
    let content = content.to_vec();
    let is_new = match filename {
        Some(filename) => {
            parts.files.insert(name.clone(), FilePart { filename, content }).is_none()
        }
        None => parts.documents.insert(name.clone(), content).is_none(),
    };
    if is_new { Ok(()) } else { Err(Error::bad_request(format!("Part '{name}' is there twice"))) }
}

fn malformed_error(error: &multer::Error) -> Error {
    Error::bad_request(format!("The request body is not valid multipart/form-data: {error}"))
}

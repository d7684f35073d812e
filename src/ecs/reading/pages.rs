//! The pages of a listing.

use std::collections::HashSet;

use crate::ecs::quota::Bucket;
use crate::ecs::{CallError, EcsError, Page, Progress};

/// No listing of ECS comes near this: it ends one whose `nextToken` never does.
const MOST_PAGES: usize = 2_000;

/// All that a listing has to say, each ARN once, in the order of the listing.
pub(super) async fn all_pages<F>(
    operation: &str,
    bucket: &Bucket,
    progress: &Progress,
    page: impl Fn(Option<String>) -> F,
) -> Result<Vec<String>, EcsError>
where
    F: Future<Output = Result<Page, CallError>>,
{
    let failed = |source| EcsError::Call { operation: operation.to_owned(), source };
    let mut arns = Vec::new();
    let mut seen = HashSet::new();
    let mut tokens = HashSet::new();
    let mut next_token = None;
    for _ in 0..MOST_PAGES {
        bucket.take().await;
        Progress::count(&progress.calls, 1);
        let page = page(next_token).await.map_err(failed)?;
        arns.extend(page.arns.into_iter().filter(|arn| seen.insert(arn.clone())));
        match page.next_token.filter(|token| !token.is_empty()) {
            None => return Ok(arns),
            Some(token) if !tokens.insert(token.clone()) => break,
            Some(token) => next_token = Some(token),
        }
    }
    Err(failed(CallError::Malformed("its pages never end".to_owned())))
}

//! The organizations of a file.

use super::{Store, StoreError};

impl Store {
    /// Every organization that has an environment, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn organizations(&self) -> Result<Vec<String>, StoreError> {
        self.read("list the organizations".to_owned(), |connection| {
            connection
                .prepare("SELECT DISTINCT org FROM environment ORDER BY org")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
        .await
    }
}

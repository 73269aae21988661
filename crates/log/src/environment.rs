use std::sync::Arc;

use foretell_types::{Error, Instant, Result};
use zeroize::Zeroizing;

use crate::files::{Files, OsFiles};

/// All that the log takes from the world, injected so that a run can be replayed from a seed.
#[derive(Clone)]
pub struct Environment {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub files: Arc<dyn Files>,
}

impl Environment {
    /// The operating system's clock, randomness and files.
    pub fn real() -> Environment {
        Environment {
            clock: Arc::new(OsClock),
            random: Arc::new(OsRandom),
            files: Arc::new(OsFiles),
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Instant;
}

/// Gives random numbers.
pub trait Random: Send + Sync {
    fn next(&self) -> u64;

    /// A random (version 4) identifier.
    fn uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(
            (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes(),
        )
        .into_uuid()
    }

    /// A secret; an error if there is no generator that is fit for secrets.
    fn secret(&self) -> Result<Zeroizing<[u8; 32]>> {
        let mut secret = Zeroizing::new([0; 32]);
        for bytes in secret.as_chunks_mut().0 {
            *bytes = self.next().to_le_bytes();
        }
        Ok(secret)
    }
}

#[derive(Debug)]
struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> Instant {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Instant {
                seconds: since.as_secs() as i64,
                nanos: since.subsec_nanos(),
            },
            Err(before) => Instant {
                seconds: -(before.duration().as_secs() as i64),
                nanos: 0,
            },
        }
    }
}

#[derive(Debug)]
struct OsRandom;

impl Random for OsRandom {
    fn next(&self) -> u64 {
        // The operating system's generator fails only where it does not exist; salts, nonces and
        // ids must then differ all the same.
        getrandom::u64().unwrap_or_else(|_| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(std::time::Instant::now())
        })
    }

    fn secret(&self) -> Result<Zeroizing<[u8; 32]>> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|error| {
            Error::unavailable(format!("the system gives no secret numbers: {error}"))
        })?;
        Ok(secret)
    }
}

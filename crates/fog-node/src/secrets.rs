//! The secrets: identity and the keys of the own test network, in one vault.
//!
//! The vault is a file of its owner alone. Where the system has a keychain, the file is encrypted with a key
//! that the keychain holds; once a passphrase is set, with a key derived from it (Argon2id, RFC 9106's second
//! recommended set: 64 MiB, 3 passes). The file says which of the three it is, so a missing keychain or key is
//! an error and never a new identity.

use crate::config::KeychainUse;
use crate::error::NodeError;
use crate::identity::Identity;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use betanet::testnet::TestNetwork;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use fog_api::SecretStorage;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const FILE: &str = "secrets.json";
const SERVICE: &str = "fog-compute";
/// A keychain that has not answered by then is treated as absent.
const KEYCHAIN_PATIENCE: Duration = Duration::from_secs(5);
const AAD: &[u8] = b"fog vault 1";

type VaultKey = Zeroizing<[u8; 32]>;

/// What the vault holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) identity: Identity,
    /// The name of the first run, in case the database has to begin anew.
    pub(crate) name: String,
    pub(crate) test_network: Option<TestNetwork>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "snake_case")]
enum VaultFile {
    File { data: String },
    Keychain { account: String, nonce: String, data: String },
    Passphrase { salt: String, nonce: String, data: String },
}

/// The vault of one data folder.
pub(crate) struct Vault {
    path: PathBuf,
    lock: Lock,
}

enum Lock {
    None,
    Keychain { account: String, key: VaultKey },
    Passphrase { salt: [u8; 16], key: VaultKey },
}

/// What opening a data folder's vault gave.
#[allow(clippy::large_enum_variant, reason = "there is one of it, for a moment, at the start")]
pub(crate) enum Opened {
    /// There is none yet: first run.
    Missing,
    /// Open.
    Ready(Vault, Secrets),
    /// A passphrase is needed.
    Sealed,
}

impl Vault {
    /// Opens the vault as far as it can be without a passphrase.
    pub(crate) fn open(data_dir: &Path) -> Result<Opened, NodeError> {
        let path = data_dir.join(FILE);
        let Some(file) = read(&path)? else { return Ok(Opened::Missing) };
        match file {
            VaultFile::File { data } => {
                let plain = Zeroizing::new(unbase64(&path, &data)?);
                Ok(Opened::Ready(Self { path: path.clone(), lock: Lock::None }, decode(&path, &plain)?))
            }
            VaultFile::Keychain { account, nonce, data } => {
                let key = keychain_get(&account).map_err(|e| {
                    NodeError::Secrets(format!(
                        "the identity is locked by the system's keychain, which does not give its key: {e}. Unlock the \
                         keychain (log in to the desktop) and start again"
                    ))
                })?;
                let plain = decrypt(&path, &key, &nonce, &data)?.ok_or_else(|| {
                    NodeError::Secrets(format!("the keychain's key does not open {}", path.display()))
                })?;
                let secrets = decode(&path, &plain)?;
                Ok(Opened::Ready(Self { path, lock: Lock::Keychain { account, key } }, secrets))
            }
            VaultFile::Passphrase { .. } => Ok(Opened::Sealed),
        }
    }

    /// Opens a sealed vault. None: the passphrase is wrong.
    pub(crate) fn unlock(data_dir: &Path, passphrase: &str) -> Result<Option<(Self, Secrets)>, NodeError> {
        let path = data_dir.join(FILE);
        let Some(VaultFile::Passphrase { salt, nonce, data }) = read(&path)? else {
            return Err(NodeError::Secrets("the secrets are not sealed with a passphrase".into()));
        };
        let salt: [u8; 16] = unbase64(&path, &salt)?
            .try_into()
            .map_err(|_| NodeError::Secrets(format!("{} is damaged", path.display())))?;
        let key = derive(passphrase, &salt)?;
        let Some(plain) = decrypt(&path, &key, &nonce, &data)? else { return Ok(None) };
        let secrets = decode(&path, &plain)?;
        Ok(Some((Self { path, lock: Lock::Passphrase { salt, key } }, secrets)))
    }

    /// First run: a new vault for these secrets.
    pub(crate) fn create(
        data_dir: &Path,
        secrets: &Secrets,
        keychain: KeychainUse,
    ) -> Result<Self, NodeError> {
        let lock = match keychain {
            KeychainUse::Off => Lock::None,
            KeychainUse::Auto => {
                let account = crate::identity::hex(&rand::rng().random::<[u8; 8]>());
                let key: VaultKey = Zeroizing::new(rand::rng().random());
                match keychain_set(&account, &key) {
                    Ok(()) => Lock::Keychain { account, key },
                    Err(e) => {
                        tracing::info!(
                            "no keychain here ({e}): the secrets go into a file of their owner alone"
                        );
                        Lock::None
                    }
                }
            }
        };
        let vault = Self { path: data_dir.join(FILE), lock };
        vault.save(secrets)?;
        Ok(vault)
    }

    /// Seals with a (new) passphrase from now on.
    pub(crate) fn set_passphrase(&mut self, secrets: &Secrets, passphrase: &str) -> Result<(), NodeError> {
        let salt: [u8; 16] = rand::rng().random();
        let key = derive(passphrase, &salt)?;
        let old = std::mem::replace(&mut self.lock, Lock::Passphrase { salt, key });
        match self.save(secrets) {
            Ok(()) => {
                if let Lock::Keychain { account, .. } = old {
                    keychain_forget(&account);
                }
                Ok(())
            }
            Err(e) => {
                self.lock = old;
                Err(e)
            }
        }
    }

    /// True if this passphrase opens the vault, or if none is set and none is given.
    pub(crate) fn check(&self, passphrase: Option<&str>) -> Result<bool, NodeError> {
        use subtle::ConstantTimeEq;
        match (&self.lock, passphrase) {
            (Lock::Passphrase { salt, key }, Some(p)) => Ok(derive(p, salt)?.ct_eq(key.as_ref()).into()),
            (Lock::Passphrase { .. }, None) => Ok(false),
            _ => Ok(true),
        }
    }

    pub(crate) fn storage(&self) -> SecretStorage {
        match self.lock {
            Lock::None => SecretStorage::File,
            Lock::Keychain { .. } => SecretStorage::Keychain,
            Lock::Passphrase { .. } => SecretStorage::SealedFile,
        }
    }

    /// Writes the secrets: a new file, synced, then renamed over the old one.
    pub(crate) fn save(&self, secrets: &Secrets) -> Result<(), NodeError> {
        let plain =
            Zeroizing::new(postcard::to_allocvec(secrets).map_err(|e| NodeError::Secrets(e.to_string()))?);
        let encrypt = |key: &VaultKey| -> Result<(String, String), NodeError> {
            let nonce: [u8; 24] = rand::rng().random();
            let data = XChaCha20Poly1305::new(key.as_slice().into())
                .encrypt(XNonce::from_slice(&nonce), Payload { msg: &plain, aad: AAD })
                .map_err(|_| NodeError::Secrets("the secrets cannot be encrypted".into()))?;
            Ok((STANDARD.encode(nonce), STANDARD.encode(data)))
        };
        let file = match &self.lock {
            Lock::None => VaultFile::File { data: STANDARD.encode(&*plain) },
            Lock::Keychain { account, key } => {
                let (nonce, data) = encrypt(key)?;
                VaultFile::Keychain { account: account.clone(), nonce, data }
            }
            Lock::Passphrase { salt, key } => {
                let (nonce, data) = encrypt(key)?;
                VaultFile::Passphrase { salt: STANDARD.encode(salt), nonce, data }
            }
        };
        let text =
            Zeroizing::new(serde_json::to_string(&file).map_err(|e| NodeError::Secrets(e.to_string()))?);
        write_private(&self.path, text.as_bytes())?;
        Ok(())
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent()
        && let Ok(folder) = fs::File::open(folder)
    {
        _ = folder.sync_all(); // not every file system can; the rename itself is atomic
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<VaultFile>, NodeError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(NodeError::Secrets(format!("{} cannot be read: {e}", path.display()))),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        NodeError::Secrets(format!("{} is damaged ({e}): restore it from a backup", path.display()))
    })
}

fn decode(path: &Path, plain: &[u8]) -> Result<Secrets, NodeError> {
    postcard::from_bytes(plain)
        .map_err(|_| NodeError::Secrets(format!("{} is damaged: restore it from a backup", path.display())))
}

fn unbase64(path: &Path, text: &str) -> Result<Vec<u8>, NodeError> {
    STANDARD
        .decode(text)
        .map_err(|_| NodeError::Secrets(format!("{} is damaged: restore it from a backup", path.display())))
}

fn decrypt(
    path: &Path,
    key: &VaultKey,
    nonce: &str,
    data: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, NodeError> {
    let (nonce, data) = (unbase64(path, nonce)?, unbase64(path, data)?);
    if nonce.len() != 24 {
        return Err(NodeError::Secrets(format!("{} is damaged: restore it from a backup", path.display())));
    }
    let cipher = XChaCha20Poly1305::new(key.as_slice().into());
    Ok(cipher.decrypt(XNonce::from_slice(&nonce), Payload { msg: &data, aad: AAD }).ok().map(Zeroizing::new))
}

fn derive(passphrase: &str, salt: &[u8; 16]) -> Result<VaultKey, NodeError> {
    let failed = |e: argon2::Error| NodeError::Secrets(format!("the passphrase cannot be used: {e}"));
    let params = Params::new(64 * 1024, 3, 1, Some(32)).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .map_err(failed)?;
    Ok(key)
}

/// Keychains answer over the desktop's bus and may ask the user: never on an async thread, never for ever.
fn with_keychain<T: Send + 'static>(
    account: &str,
    act: impl FnOnce(keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, String> {
    if cfg!(target_os = "linux") && std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none() {
        return Err("this session has no D-Bus".into());
    }
    let account = account.to_string();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let result = keyring::Entry::new(SERVICE, &account).and_then(act);
        _ = sender.send(result.map_err(|e| e.to_string()));
    });
    receiver.recv_timeout(KEYCHAIN_PATIENCE).unwrap_or_else(|_| Err("it does not answer".into()))
}

fn keychain_get(account: &str) -> Result<VaultKey, String> {
    let secret = Zeroizing::new(with_keychain(account, |e| e.get_secret())?);
    let key: [u8; 32] = secret.as_slice().try_into().map_err(|_| "it holds another thing".to_string())?;
    Ok(Zeroizing::new(key))
}

fn keychain_set(account: &str, key: &VaultKey) -> Result<(), String> {
    let secret = key.clone();
    with_keychain(account, move |e| e.set_secret(secret.as_ref()))?;
    // Some keychains forget at once; only one that gives the key back counts.
    if keychain_get(account)?.as_ref() == key.as_ref() {
        Ok(())
    } else {
        Err("it does not keep secrets".into())
    }
}

fn keychain_forget(account: &str) {
    if let Err(e) = with_keychain(account, |e| e.delete_credential()) {
        tracing::warn!("the old key stays in the keychain: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets { identity: Identity::generate(), name: "Ada".into(), test_network: None }
    }

    #[test]
    fn a_file_vault_is_for_its_owner_alone_and_comes_back() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert!(matches!(Vault::open(dir.path()), Ok(Opened::Missing)));
        let s = secrets();
        Vault::create(dir.path(), &s, KeychainUse::Off).expect("creates");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(FILE)).expect("exists").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let Ok(Opened::Ready(vault, back)) = Vault::open(dir.path()) else { panic!("opens") };
        assert_eq!(back.identity.id(), s.identity.id());
        assert_eq!(vault.storage(), SecretStorage::File);
    }

    #[test]
    fn a_passphrase_seals_and_only_it_opens() {
        let dir = tempfile::tempdir().expect("tempdir");
        let s = secrets();
        let mut vault = Vault::create(dir.path(), &s, KeychainUse::Off).expect("creates");
        assert!(vault.check(None).expect("checks"));
        vault.set_passphrase(&s, "correct horse").expect("seals");
        assert!(vault.check(Some("correct horse")).expect("checks"));
        assert!(!vault.check(Some("wrong horse")).expect("checks") && !vault.check(None).expect("checks"));
        assert!(matches!(Vault::open(dir.path()), Ok(Opened::Sealed)));
        assert!(Vault::unlock(dir.path(), "wrong horse").expect("reads").is_none());
        let (_, back) = Vault::unlock(dir.path(), "correct horse").expect("reads").expect("opens");
        assert_eq!(back.identity.id(), s.identity.id());
        // The secret keys are nowhere in the file.
        let text = fs::read_to_string(dir.path().join(FILE)).expect("reads");
        assert!(text.contains("passphrase") && !text.contains("\"storage\":\"file\""));
    }

    #[test]
    fn a_damaged_vault_is_an_error_and_not_a_new_identity() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join(FILE), "{\"storage\":\"file\",\"data\":\"AAAA\"}").expect("writes");
        assert!(matches!(Vault::open(dir.path()), Err(NodeError::Secrets(_))));
        fs::write(dir.path().join(FILE), "nonsense").expect("writes");
        assert!(matches!(Vault::open(dir.path()), Err(NodeError::Secrets(_))));
    }
}

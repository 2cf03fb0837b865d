use super::*;

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn dir(name: &str) -> Dir {
    let dir = std::env::temp_dir().join(format!("coracle-control-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    Dir(dir)
}

fn run(check: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check());
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn said(path: &Path, line: &'static [u8], patience: Duration) -> Result<Vec<u8>, AskError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || ask(&path, line, patience)).await.unwrap()
}

#[test]
fn a_line_is_answered_with_a_line_and_the_file_is_roots_alone() {
    let dir = dir("answer");
    let path = dir.0.join(FILE);
    run(async || {
        // As a killed agent leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(matches!(said(&path, b"x", PATIENCE).await, Err(AskError::Nobody { .. })));
        let (control, mut heard) = Control::start(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let answering = tokio::spawn(async move {
            while let Some(Asked { line, answer }) = heard.recv().await {
                let length = line.len().to_string();
                answer.send([length.as_bytes(), b":", &line[..line.len().min(8)]].concat()).unwrap();
            }
        });
        assert_eq!(said(&path, b"hello", PATIENCE).await.unwrap(), b"5:hello");
        // A longer one is heard as far as it tells that it is too long.
        let long: &'static [u8] = Box::leak(vec![b'x'; 100_000].into_boxed_slice());
        match said(&path, long, PATIENCE).await {
            Ok(answer) => assert_eq!(answer, b"49153:xxxxxxxx"),
            Err(error) => assert!(matches!(error, AskError::HungUp { .. }), "{error}"),
        }
        drop(control);
        assert!(!path.exists());
        assert!(matches!(said(&path, b"x", PATIENCE).await, Err(AskError::Nobody { .. })));
        answering.abort();
    });
}

#[test]
fn silent_clients_hold_their_places_for_seconds_and_no_longer() {
    let dir = dir("silent");
    let path = dir.0.join(FILE);
    run(async || {
        let (_control, mut heard) = Control::start(&path).unwrap();
        let answering = tokio::spawn(async move {
            while let Some(Asked { answer, .. }) = heard.recv().await {
                let _ = answer.send(b"here".to_vec());
            }
        });
        let silent: Vec<Blocking> = (0..CLIENTS_MAX + 4).map(|_| Blocking::connect(&path).unwrap()).collect();
        assert_eq!(said(&path, b"x", PATIENCE).await.unwrap(), b"here");
        drop(silent);
        answering.abort();
    });
}

#[test]
fn a_client_that_goes_away_is_noticed_and_one_that_is_not_answered_gives_up() {
    let dir = dir("away");
    let path = dir.0.join(FILE);
    run(async || {
        let (_control, mut heard) = Control::start(&path).unwrap();
        let late = said(&path, b"x", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(AskError::Late { .. })), "{late:?}");
        let Asked { mut answer, .. } = heard.recv().await.unwrap();
        timeout(PATIENCE, answer.closed()).await.unwrap();
        let asking = tokio::spawn({
            let path = path.clone();
            async move { said(&path, b"x", PATIENCE).await }
        });
        drop(heard.recv().await.unwrap());
        let turned_away = asking.await.unwrap();
        assert!(matches!(turned_away, Err(AskError::HungUp { .. })), "{turned_away:?}");
    });
}

//! Where images come from, and when they go.

use super::*;
use bollard::query_parameters::{ListImagesOptions, TagImageOptions};
use fog_jobs::container::KeepImages;

fn named(reference: &str) -> Image {
    Image { reference: reference.into(), archive: None }
}

fn images(lab: &Lab) -> Vec<bollard::models::ImageSummary> {
    let options = ListImagesOptions { all: true, ..Default::default() };
    lab.runtime.block_on(lab.engine.docker.list_images(Some(options))).unwrap()
}

/// Runs with a runtime of its own, whose images go at the next sweep.
fn with_own<T>(
    lab: &Lab,
    name: &str,
    change: impl FnOnce(&mut ContainerConfig),
    test: impl FnOnce(&Containers) -> T,
) -> T {
    let mut config = config(&lab.engine.socket, &lab.folder.path().join(name));
    config.keep_images = KeepImages { time: Duration::ZERO, bytes: 0 };
    change(&mut config);
    test(&lab.runtime.block_on(Containers::connect(config)).unwrap())
}

pub fn tags_are_refused(lab: &Lab) {
    for tag in ["alpine", "alpine:latest", "ghcr.io/a/b:1"] {
        let error = lab.job(named(tag), &["/bin/true"], &[]).run().unwrap_err();
        assert!(matches!(&error, RunError::Image(why) if why.contains("by digest")), "{error}");
    }
    let nowhere = format!("sha256:{}", "0".repeat(64));
    let error = lab.job(named(&nowhere), &["/bin/true"], &[]).run().unwrap_err();
    assert!(matches!(&error, RunError::Image(why) if why.contains("not on this device")), "{error}");
    let elsewhere = format!("evil.example/x@{nowhere}");
    let error = lab.job(named(&elsewhere), &["/bin/true"], &[]).run().unwrap_err();
    assert!(matches!(&error, RunError::Image(why) if why.contains("evil.example")), "{error}");
}

pub fn an_archive_takes_no_name(lab: &Lab) {
    let own = serde_json::json!({ "Cmd": ["/bin/echo", "from the archive"] });
    let archive = image::saved(lab.folder.path(), &own, "postgres:16");
    let image = Image { reference: "postgres:16".into(), archive: Some(archive.clone()) };
    assert_eq!(out(&lab.job(image, &[], &[]).run()), "from the archive\n");
    let tags: Vec<_> = images(lab).into_iter().flat_map(|i| i.repo_tags).collect();
    assert!(!tags.iter().any(|tag| tag.contains("postgres")), "{tags:?}");
    // By its id it is there now, without the archive.
    let id = image::sha256(&image::config(&image::root_tar(), &own));
    assert_eq!(out(&lab.job(named(&id), &[], &[]).run()), "from the archive\n");
    // An archive that is not what it is said to be.
    let other = Image { reference: format!("sha256:{}", "1".repeat(64)), archive: Some(archive) };
    let error = lab.job(other, &[], &[]).run().unwrap_err();
    assert!(matches!(&error, RunError::Image(why) if why.contains(&id)), "{error}");
}

pub fn bad_archives(lab: &Lab) {
    let file = lab.folder.path().join("bad.tar");
    let mut cut = image::root_tar();
    cut.truncate(300_000);
    for bytes in [b"".to_vec(), b"no archive".to_vec(), cut] {
        std::fs::write(&file, bytes).unwrap();
        let image = Image { reference: "x".into(), archive: Some(file.clone()) };
        let error = lab.job(image, &["/bin/true"], &[]).run().unwrap_err();
        assert!(matches!(error, RunError::Image(_)), "{error}");
    }
    let missing = Image { reference: "x".into(), archive: Some("/nowhere".into()) };
    assert!(lab.job(missing, &["/bin/true"], &[]).run().is_err());
    with_own(
        lab,
        "small",
        |config| config.max_image_bytes = 1000,
        |containers| {
            let error = lab.sh("true").run_with(containers).unwrap_err();
            assert!(matches!(&error, RunError::Image(why) if why.contains("1000 bytes")), "{error}");
        },
    );
}

pub fn images_go_after_use(lab: &Lab) {
    let own = |n: u32| {
        let own = serde_json::json!({ "Labels": { "n": n.to_string() }, "Cmd": ["/bin/echo", "hi"] });
        let id = image::sha256(&image::config(&image::root_tar(), &own));
        (Image { reference: "x".into(), archive: Some(image::saved(lab.folder.path(), &own, "x:1")) }, id)
    };
    let there = |id: &str| images(lab).iter().any(|image| image.id == id);
    with_own(
        lab,
        "tidy",
        |_| {},
        |containers| {
            let sweep = || lab.runtime.block_on(containers.sweep()).unwrap();
            let (image, brought) = own(1);
            out(&lab.job(image, &[], &[]).run_with(containers));
            assert!(there(&brought));
            assert_eq!(sweep().images, 1);
            assert!(!there(&brought));

            // An image to which the owner gave a name meanwhile is the owner's.
            let (image, kept) = own(2);
            out(&lab.job(image, &[], &[]).run_with(containers));
            let options = TagImageOptions { repo: Some("mine".into()), tag: Some("1".into()) };
            lab.runtime.block_on(lab.engine.docker.tag_image(&kept, Some(options))).unwrap();
            assert_eq!(sweep().images, 0);
            assert!(there(&kept));

            // One that was there before is the owner's too.
            with_own(
                lab,
                "tidy-too",
                |_| {},
                |others| {
                    let (image, _) = own(2);
                    out(&lab.job(image, &[], &[]).run_with(others));
                    assert_eq!(lab.runtime.block_on(others.sweep()).unwrap().images, 0);
                    assert!(there(&kept));
                },
            );
            lab.runtime
                .block_on(lab.engine.docker.remove_image(
                    "mine:1",
                    None::<bollard::query_parameters::RemoveImageOptions>,
                    None,
                ))
                .unwrap();
        },
    );
}

pub fn from_a_registry(lab: &Lab) {
    let allow = |config: &mut ContainerConfig| config.registries.push("127.0.0.1:5000".into());
    let registry = registry::Registry::start(lab.engine.pid(), false);
    let image = named(&format!("127.0.0.1:5000/app@{}", registry.digest));
    with_own(lab, "fetcher", allow, |containers| {
        let job = lab.job(image.clone(), &[], &["fetched"]);
        assert_eq!(out(&job.run_with(containers)), "fetched\n");
        assert!(job.notes().contains("fetching the image"), "{}", job.notes());
        assert_eq!(lab.runtime.block_on(containers.sweep()).unwrap().images, 1);
    });
    with_own(
        lab,
        "small-fetcher",
        |config| {
            allow(config);
            config.max_image_bytes = 1000;
        },
        |containers| {
            let result = lab.job(image.clone(), &[], &["fetched"]).run_with(containers);
            if lab.engine.name == "podman" {
                lab.left_out("it does not say how much of an image comes, so that is not limited");
            } else {
                let error = result.unwrap_err();
                assert!(matches!(&error, RunError::Image(why) if why.contains("1000 bytes")), "{error}");
            }
            lab.runtime.block_on(containers.sweep()).unwrap();
        },
    );
    drop(registry);
    let registry = registry::Registry::start(lab.engine.pid(), true);
    let image = named(&format!("127.0.0.1:5000/app@{}", registry.digest));
    with_own(lab, "deceived", allow, |containers| {
        let error = lab.job(image, &[], &["fetched"]).run_with(containers).unwrap_err();
        assert!(matches!(error, RunError::Image(_)), "{error}");
    });
}

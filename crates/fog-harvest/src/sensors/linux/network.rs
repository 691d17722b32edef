//! Whether the network costs by volume, where no service says so: by the kind of the interface that leads outside.

use std::fs;
use std::path::Path;

/// True for a mobile network's modem. Anything else does not say.
pub(super) fn metered(proc: &Path, sys: &Path) -> Option<bool> {
    let interface = default_interface(&fs::read_to_string(proc.join("net/route")).ok()?)?;
    let about = fs::read_to_string(sys.join("class/net").join(interface).join("uevent")).ok()?;
    about.lines().any(|line| line == "DEVTYPE=wwan").then_some(true)
}

/// The interface of the default route with the lowest metric.
fn default_interface(routes: &str) -> Option<String> {
    let defaults = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, target, metric) = (fields.first()?, fields.get(1)?, fields.get(6)?);
        let plain = !name.contains(['/', '.']);
        (*target == "00000000" && plain).then(|| Some((metric.parse::<u32>().ok()?, (*name).to_owned())))?
    });
    defaults.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modem_counts_only_where_the_traffic_goes() {
        let machine = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = machine.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let read = || metered(machine.path(), machine.path());
        assert_eq!(read(), None);
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let wifi = "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
        let modem = "wwan0\t00000000\t0100000B\t0003\t0\t0\t700\t00000000\t0\t0\t0\n";
        put("class/net/wwan0/uevent", "DEVTYPE=wwan\nINTERFACE=wwan0\n");
        put("class/net/wlan0/uevent", "DEVTYPE=wlan\nINTERFACE=wlan0\n");
        put("net/route", &format!("{head}{modem}{wifi}"));
        assert_eq!(read(), None);
        put("net/route", &format!("{head}{modem}"));
        assert_eq!(read(), Some(true));
        put("net/route", &format!("{head}../wwan0\t00000000\t0\t0\t0\t0\t1\t0\ngarbage\n"));
        assert_eq!(read(), None);
    }
}

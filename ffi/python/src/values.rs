//! Values that the package defines in Python (`prodcon/_values.py`): what `stats()` and `Delivery.id`
//! are made of.

use prodcon::Stats;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// `prodcon.ItemId`.
pub fn item_id(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    class(py, &CLASS, "ItemId")
}

fn class<'py>(
    py: Python<'py>,
    place: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    let class = place.get_or_try_init(py, || {
        py.import("prodcon._values")?
            .getattr(name)
            .map(Bound::unbind)
    })?;
    Ok(class.bind(py))
}

/// The figures, as a `prodcon.Stats`.
pub fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = PyDict::new(py);
    fields.set_item("capacity", stats.capacity)?;
    fields.set_item("item_size", stats.item_size)?;
    fields.set_item("seats", stats.seats)?;
    fields.set_item("seats_live", stats.seats_live)?;
    fields.set_item("seats_dead", stats.seats_dead)?;
    fields.set_item("len", stats.len)?;
    fields.set_item("ready", stats.ready)?;
    fields.set_item("epoch", stats.epoch)?;
    fields.set_item("state", stats.state.to_string())?;
    fields.set_item("lossy", stats.lossy)?;
    fields.set_item("at_least_once", stats.at_least_once)?;
    fields.set_item("unacked", stats.unacked)?;
    fields.set_item("puts", stats.puts)?;
    fields.set_item("gets", stats.gets)?;
    fields.set_item("dropped", stats.dropped)?;
    fields.set_item("cleared", stats.cleared)?;
    fields.set_item("lost", stats.lost)?;
    fields.set_item("redelivered", stats.redelivered)?;
    fields.set_item("dead_lettered", stats.dead_lettered)?;
    fields.set_item("batch", stats.batch)?;
    class(py, &CLASS, "Stats")?.call((), Some(&fields))
}

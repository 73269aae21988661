use std::path::*;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() { let d = std::env::args().nth(1).unwrap(); let d = Path::new(&d);
 let t = std::time::Instant::now();
 let ev=[d.join("events.parquet")]; let lb=d.join("labels.parquet"); let def=foretell_state::Definition::parse(&std::fs::read_to_string(d.join("pit.sql")).unwrap(),"pit.sql").unwrap();
 let f = foretell_lake::Files { events:&ev, key:"entity", time:"ts", known_time:None, labels:&lb, label_key:"entity", label_time:"ts", definition:&def };
 let last = std::sync::Mutex::new(String::new());
 let b = f.build(&d.join("out_ours.parquet"), &|s,_,_| { let mut l = last.lock().unwrap(); if *l != s { eprintln!("{s} {:?}", t.elapsed()); *l=s.into(); } Ok(()) }).unwrap();
 eprintln!("{b:?} {:?}", t.elapsed());
}

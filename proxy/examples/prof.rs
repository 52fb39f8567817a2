use std::sync::Arc;
use waypool::plugin::*; use waypool::plugin::contract::*; use waypool::config::Config;
struct F;
impl FactSource for F { fn epoch(&self)->u64{7}
 fn function_fact(&self,_:Option<&str>,_:&str)->FunctionFact{FunctionFact::Found(Volatility::Stable)}
 fn operator_fact(&self,_:&str)->FunctionFact{FunctionFact::Found(Volatility::Immutable)}
 fn relation_fact(&self,_:Option<&str>,_:&str)->RelationFact{RelationFact::Found(RelationFacts::NONE)}
}
fn main(){
 let config=Config::parse("sr_check_user = \"nobody\"\n[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n", std::path::Path::new("b.toml")).map_err(|e| e.to_string()).unwrap();
 let host=PluginHost::new(waypool::proxy::sources(&config), Options{workers:2, code_cache:None}).unwrap();
 let mut w=PluginWorker::new(host); let info=SessionInfo{database:"bench".into(),..Default::default()};
 let p=w.current().clone(); let c=p.chain(&info);
 let what=std::env::args().nth(1).unwrap_or_default();
 let n=1_000_000u32; let t=std::time::Instant::now();
 match what.as_str(){
  "classify"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.classify(&c,"SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;",&a).unwrap()); } }
  "noop"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.classify(&c,"SELECT abalance FROM pgbench_accounts WHERE aid ,  123456789;",&a).unwrap()); } }
  "two"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.classify(&c,"SELECT abalance , pgbench_accounts , aid , 123456789 , 12345;",&a).unwrap()); } }
  "one"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.classify(&c,"SELECT 1",&a).unwrap()); } }
  "empty"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.classify(&c,"",&a).unwrap()); } }
  "rewrite"=>{ let a=About::text(&info,&F); for _ in 0..n { std::hint::black_box(p.rewrite(&c,"SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;",&a,|_|Ok(None)).unwrap()); } }
  _=>{ let words=Words::default(); let v=Verdict::conservative("x"); let a=About::statement(&info,&v,&words); let t=Topology::default();
    let m=[Memory::default();4];
    for _ in 0..n { std::hint::black_box(p.route(&c,&t,Statement{kind:Kind::Select,servers:Servers::Any,effects:Effects::NONE},SessionState{transaction:Transaction::Idle,transaction_memory:0,session_memory:0,home:0,waited_millis:0,random:1},&m,&a).unwrap()); } }
 }
 println!("{what} {} ns", t.elapsed().as_nanos()/u128::from(n)); let _=Arc::new(());
}

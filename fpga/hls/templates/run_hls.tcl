# vitis_hls -f run_hls.tcl: C simulation, C synthesis, co-simulation, export. Written for 2021.1 to 2023.1; not run here.
set part $part
set clock_ns $clock

open_project -reset vitis
set_top $name
set flags "-std=c++14 -I[file normalize src] -I[file normalize tb]"
add_files src/$name.cpp -cflags $$flags
add_files -tb tb/bench.cpp -cflags $$flags
add_files -tb tb/jobs.txt
add_files -tb tb/answers.txt

open_solution -reset solution
set_part $$part
create_clock -period $$clock_ns -name default
# weights keep their contents over a reset; what must begin anew says so with a RESET pragma
config_rtl -reset control

csim_design -argv "jobs.txt answers.txt"
csynth_design
cosim_design -argv "jobs.txt answers.txt"
export_design -format ip_catalog
exit

// The end of a link: takes a neighbour's frames in their order and keeps the states of the last two. Memory `one` holds
// those of the free and the plus phase, memory `two` those of the minus phase; an even frame is on page 0.
module mep_ghost #(
    parameter int P  = 4,
    parameter int LW = 2,
    parameter int SB = 16,
    parameter int NW = 8,    // bits of a word's index here
    parameter int UNITS = 4  // of the neighbour's layer
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            begin_job,
    input  logic            nudge,        // the job has three phases
    input  logic [13:0]     job,
    input  logic [15:0]     free_steps,
    input  logic [15:0]     nudged_steps,
    output logic [1:0]      phase,        // of the frame that comes next; 3: none comes in this job
    output logic [15:0]     frame,
    output logic            bad,          // another header came instead
    input  logic            s_valid,
    output logic            s_ready,
    input  logic [31:0]     s_data,
    input  logic            s_last,
    input  logic            page,
    input  logic [NW-1:0]   word,
    output logic [P*SB-1:0] word_one,
    output logic [P*SB-1:0] word_two
);
    localparam int WORDS = (UNITS + P - 1) / P;
    localparam int GW = WORDS > 1 ? $clog2(WORDS) : 1;
    logic collecting, done, write, take;
    logic [GW-1:0] index;
    logic [P*SB-1:0] taken;
    logic write_two, write_page;
    logic [P*SB-1:0] memory_one[0:(2<<GW)-1];
    logic [P*SB-1:0] memory_two[0:(2<<GW)-1];
    wire heading = !collecting && phase != 2'd3 && s_valid;
    wire expected = s_data == {job, phase, frame};
    wire last_frame = frame == (phase == 2'd0 ? free_steps : nudged_steps);
    assign s_ready = collecting ? take : phase != 2'd3 && !bad;
    mep_collect #(.P(P), .LW(LW), .VB(SB), .IW(GW)) collect (
        .clk, .rst, .begin_block(heading && expected && !bad), .values(32'(UNITS)), .active(collecting), .done,
        .s_valid(s_valid && collecting), .s_ready(take), .s_data, .write, .index, .word(taken)
    );
    always_ff @(posedge clk) begin
        if (heading && !expected || collecting && s_valid && s_last != done) bad <= 1'b1;
        if (heading) {write_two, write_page} <= {phase == 2'd2, frame[0]};
        if (done) begin
            frame <= last_frame ? '0 : frame + 16'd1;
            if (last_frame) phase <= nudge && phase != 2'd2 ? phase + 2'd1 : 2'd3;
        end
        if (begin_job) {phase, frame} <= '0;
        if (write && !write_two) memory_one[{write_page, index}] <= taken;
        if (write && write_two) memory_two[{write_page, index}] <= taken;
        if (rst) {phase, bad} <= 3'b110;
    end
    assign word_one = memory_one[{page, GW'(word)}];
    assign word_two = memory_two[{page, GW'(word)}];
    wire unused = &{1'b0, word};
endmodule

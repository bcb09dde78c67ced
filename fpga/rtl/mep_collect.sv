// Values of a stream, one a beat, into words of P; the last word of a block may be filled in part.
module mep_collect #(
    parameter int P  = 4,
    parameter int LW = 2,
    parameter int VB = 16,  // bits of a value
    parameter int IW = 8    // bits of a word's index
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            begin_block,
    input  logic [31:0]     values,  // of the block; at least one
    output logic            active,
    output logic            done,    // in the cycle in which the last beat is taken
    input  logic            s_valid,
    output logic            s_ready,
    input  logic [31:0]     s_data,
    output logic            write,
    output logic [IW-1:0]   index,
    output logic [P*VB-1:0] word
);
    logic [31:0]   left;
    logic [LW-1:0] lane;
    logic [IW-1:0] next;
    wire beat = active && s_valid;
    wire last = left == 32'd1;
    wire full = lane == LW'(P - 1);
    assign s_ready = active;
    assign done = beat && last;
    always_ff @(posedge clk) begin
        write <= beat && (last || full);
        if (beat) begin
            active <= !last;
            left <= left - 32'd1;
            lane <= full ? '0 : lane + LW'(1);
            index <= next;
            if (full) next <= next + IW'(1);
        end
        if (begin_block) begin
            active <= 1'b1;
            left <= values;
            {lane, next} <= '0;
        end
        if (beat) for (int p = 0; p < P; p++) if (lane == LW'(p)) word[p*VB+:VB] <= s_data[VB-1:0];
        if (rst) begin
            active <= 1'b0;
            write <= 1'b0;
        end
    end
    wire unused = &{1'b0, s_data};
endmodule
